"""The field's words: *final* for settled, *topic id* for generation; one ledger of all types.

The views and functions that a transaction's report had are dropped: each start makes those that its
contract has now. Staging tables go too; what they had is loaded again. A checksum in the ledger
says of how many columns it is.
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
        DROP VIEW IF EXISTS report.reconciliation;
        DROP VIEW IF EXISTS report.transaction_by_hour;

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
                UPDATE control.interval SET checksum = concat(checksum, '-', (
                    SELECT count(*) FROM pg_attribute
                    WHERE attrelid = to_regclass(format('report.%I', one.type))
                        AND attnum > 0 AND NOT attisdropped))
                WHERE interval.type = one.type AND checksum IS NOT NULL;
            END LOOP;
        END $$;
        COMMENT ON COLUMN control.interval.checksum IS
            'Facts, sum of their hashes modulo 2^64, and of how many of the table''s columns';

        CREATE VIEW report.interval AS
        SELECT
            ledger.type, ledger.start_at AS interval_start, ledger.end_at AS interval_end,
            ledger.attempt IS NULL AS is_skipped,
            events, rows AS facts, duplicates, conflicts, unmatched,
            ledger.published_at, snapshot AS reference_snapshot
        FROM control.interval AS ledger LEFT JOIN control.attempt USING (attempt);

        COMMENT ON VIEW report.interval IS
            'Which intervals of arrival time are final, of each event type, and what was found in'
            ' them';
        COMMENT ON COLUMN report.interval.type IS 'Event type';
        COMMENT ON COLUMN report.interval.interval_start IS 'Arrival time at which it begins';
        COMMENT ON COLUMN report.interval.interval_end IS 'Arrival time before which it ends';
        COMMENT ON COLUMN report.interval.is_skipped IS
            'Whether it was passed, by an operator or since its events had expired before the first'
            ' run: its sums are the flow''s, its events are no facts';
        COMMENT ON COLUMN report.interval.events IS 'Valid events that arrived in it';
        COMMENT ON COLUMN report.interval.facts IS 'Of them, those that are counted';
        COMMENT ON COLUMN report.interval.duplicates IS 'Of them, those that repeat another one';
        COMMENT ON COLUMN report.interval.conflicts IS
            'Of the duplicates, those with other content than the one that counts';
        COMMENT ON COLUMN report.interval.unmatched IS
            'Events that found no row, by reference data';
        COMMENT ON COLUMN report.interval.published_at IS 'When it was last published';
        COMMENT ON COLUMN report.interval.reference_snapshot IS
            'Number of the copy of the reference data that it was enriched with';
    """)
