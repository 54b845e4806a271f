"""The batch layer: intervals, attempts at them, reference snapshots, alerts, the lake."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        CREATE SCHEMA reference;
        CREATE SCHEMA report;
        CREATE SCHEMA staging;
        COMMENT ON SCHEMA reference IS 'Slowly changing data that enriches events';
        COMMENT ON SCHEMA report IS 'Settled, enriched, checked data, and the open position';
        COMMENT ON SCHEMA staging IS 'One table per attempt, until it is published';

        ALTER TABLE control.stream
            ADD COLUMN settled_from   timestamptz,
            ADD COLUMN settled_until  timestamptz,
            ADD CHECK (settled_from <= settled_until);
        COMMENT ON COLUMN control.stream.settled_from IS
            'Arrival time at which the first interval begins; null before the first attempt';
        COMMENT ON COLUMN control.stream.settled_until IS
            'Every interval before it was settled or skipped; the flow alone has what follows';

        CREATE TABLE control.reference_snapshot (
            snapshot  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            taken_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
            folder    text NOT NULL UNIQUE,
            tables    jsonb NOT NULL
        );
        COMMENT ON TABLE control.reference_snapshot IS
            'Copies of all reference data as of one moment; a folder is written once, never again';
        COMMENT ON COLUMN control.reference_snapshot.folder IS 'Below the lake''s folder';
        COMMENT ON COLUMN control.reference_snapshot.tables IS 'Rows and checksum by reference';

        CREATE TABLE control.attempt (
            attempt           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            type              text NOT NULL REFERENCES control.stream,
            start_at          timestamptz NOT NULL,
            end_at            timestamptz NOT NULL,
            snapshot          bigint NOT NULL REFERENCES control.reference_snapshot,
            query_sha256      text NOT NULL,
            contract_version  integer NOT NULL,
            run_id            text NOT NULL,
            begun_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
            loaded_at         timestamptz,
            checks            jsonb,
            checked_at        timestamptz,
            published_at      timestamptz,
            CHECK (start_at < end_at)
        );
        CREATE INDEX ON control.attempt (type, start_at, end_at);
        COMMENT ON TABLE control.attempt IS
            'One try to settle the intervals of a range; of two that overlap the newer publishes';
        COMMENT ON COLUMN control.attempt.run_id IS 'The Airflow run, or the command, that made it';
        COMMENT ON COLUMN control.attempt.checked_at IS 'When every quality check had passed';

        CREATE TABLE control.attempt_interval (
            attempt    bigint NOT NULL REFERENCES control.attempt ON DELETE CASCADE,
            start_at   timestamptz NOT NULL,
            end_at     timestamptz NOT NULL,
            events     bigint,
            repeated   bigint,
            unmatched  jsonb,
            PRIMARY KEY (attempt, start_at),
            CHECK (start_at < end_at)
        );
        COMMENT ON COLUMN control.attempt_interval.events IS
            'Valid events read from the raw store; null until they are loaded';
        COMMENT ON COLUMN control.attempt_interval.repeated IS
            'Of them, those that are not the first of their id in the interval';
        COMMENT ON COLUMN control.attempt_interval.unmatched IS
            'Events that found no row, by reference';

        CREATE TABLE control.interval (
            type          text NOT NULL REFERENCES control.stream,
            start_at      timestamptz NOT NULL,
            end_at        timestamptz NOT NULL,
            attempt       bigint REFERENCES control.attempt,
            events        bigint NOT NULL DEFAULT 0,
            rows          bigint NOT NULL DEFAULT 0,
            duplicates    bigint NOT NULL DEFAULT 0,
            conflicts     bigint NOT NULL DEFAULT 0,
            unmatched     jsonb NOT NULL DEFAULT '{}',
            checksum      text,
            published_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (type, start_at),
            CHECK (start_at < end_at),
            CHECK (events = rows + duplicates)
        );
        COMMENT ON TABLE control.interval IS
            'The ledger: one row per interval [start_at, end_at) of arrival time that was settled'
            ' or skipped';
        COMMENT ON COLUMN control.interval.attempt IS
            'Whose result is published, with its snapshot and query; null: an operator skipped it';
        COMMENT ON COLUMN control.interval.checksum IS 'Of the interval''s facts';

        CREATE TABLE control.conflict (
            type             text NOT NULL,
            generation       text NOT NULL,
            kafka_partition  integer NOT NULL,
            kafka_offset     bigint NOT NULL,
            event_id         text NOT NULL,
            attempt          bigint NOT NULL REFERENCES control.attempt,
            found_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (type, generation, kafka_partition, kafka_offset)
        );
        COMMENT ON TABLE control.conflict IS
            'Events that repeat the id of an earlier one with other content; the first one counts';

        CREATE TABLE control.alert (
            alert    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at       timestamptz NOT NULL DEFAULT clock_timestamp(),
            source   text NOT NULL,
            type     text,
            message  text NOT NULL,
            detail   jsonb NOT NULL DEFAULT '{}'
        );
        CREATE INDEX ON control.alert (at);
        COMMENT ON TABLE control.alert IS
            'What a person should look at: source is a DAG or a check';

        CREATE TABLE control.lake_export (
            type         text NOT NULL REFERENCES control.stream,
            day          date NOT NULL,
            folder       text NOT NULL,
            rows         bigint NOT NULL,
            checksum     text NOT NULL,
            exported_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (type, day)
        );
        COMMENT ON TABLE control.lake_export IS
            'Which days of arrival time the Parquet lake has, whole';
    """)
