"""The index of what batch and flow differ in has another condition: what has the old one goes, and
each start makes what is missing."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("""
        DO $$
        DECLARE
            name text;
        BEGIN
            FOR name IN SELECT indexname FROM pg_indexes
                WHERE schemaname = 'report' AND indexname LIKE '%\\_interval\\_unexplained'
            LOOP
                EXECUTE format('DROP INDEX report.%I', name);
            END LOOP;
        END $$
    """)
