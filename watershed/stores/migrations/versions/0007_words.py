"""The field's words: *final* for settled, *topic id* for generation.

Views and functions of schema ``report`` that have a renamed column are dropped: each start makes
what is missing. Staging tables go too; what they had is loaded again.
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("""
        DROP FUNCTION IF EXISTS report.open_position_at;
        DROP VIEW IF EXISTS report.open_position;
        DROP VIEW IF EXISTS report.open_position_by_branch;
        DROP VIEW IF EXISTS report.settled_position;
        DROP VIEW IF EXISTS report.settled_interval;

        ALTER TABLE control.stream RENAME COLUMN generation TO topic_id;
        ALTER TABLE control.stream RENAME COLUMN settled_from TO final_from;
        ALTER TABLE control.stream RENAME COLUMN settled_until TO final_until;
        ALTER TABLE control.stream_offset RENAME COLUMN generation TO topic_id;
        ALTER TABLE control.stream_batch RENAME COLUMN generation TO topic_id;
        ALTER TABLE control.quarantine_replay RENAME COLUMN generation TO topic_id;
        ALTER TABLE control.conflict RENAME COLUMN generation TO topic_id;
        COMMENT ON SCHEMA report IS 'Final, enriched, checked data, and the open position';
        COMMENT ON COLUMN control.stream.final_from IS
            'Arrival time at which the first interval begins; null before the first attempt';
        COMMENT ON COLUMN control.stream.final_until IS
            'Every interval before it was published or skipped; the flow alone has what follows';
        COMMENT ON TABLE control.attempt IS
            'One try to publish the intervals of a range; of two that overlap the newer publishes';
        COMMENT ON TABLE control.interval IS
            'The ledger: one row per interval [start_at, end_at) of arrival time that was published'
            ' or skipped';

        DO $$
        DECLARE
            one record;
        BEGIN
            FOR one IN SELECT tablename AS name FROM pg_tables WHERE schemaname = 'staging'
            LOOP
                EXECUTE format('DROP TABLE staging.%I', one.name);
            END LOOP;
            FOR one IN SELECT type, type || '_settled' AS old, type || '_final' AS new
                FROM control.stream WHERE to_regclass(format('report.%I', type)) IS NOT NULL
            LOOP
                EXECUTE format('ALTER TABLE report.%I RENAME COLUMN generation TO topic_id',
                    one.type);
                EXECUTE format('ALTER TABLE report.%I RENAME TO %I', one.old, one.new);
                EXECUTE format('ALTER INDEX report.%I RENAME TO %I',
                    one.old || '_pkey', one.new || '_pkey');
            END LOOP;
        END $$
    """)
