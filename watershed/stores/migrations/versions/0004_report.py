"""Months of facts, and up to where history was pruned."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        CREATE SCHEMA report_parts;
        COMMENT ON SCHEMA report_parts IS 'The fact tables of schema report, one part per month';

        ALTER TABLE control.stream ADD COLUMN pruned_until timestamptz;
        COMMENT ON COLUMN control.stream.pruned_until IS
            'Intervals before it were folded into the opening balance; null: none ever was';

        CREATE INDEX interval_skipped ON control.interval (type, start_at) WHERE attempt IS NULL;
    """)
