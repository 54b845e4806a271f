"""The commit's tables."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE SCHEMA control;
        CREATE SCHEMA speed;

        CREATE TABLE control.stream (
            type              text PRIMARY KEY,
            contract_version  integer NOT NULL,
            generation        text,
            sequence          bigint NOT NULL DEFAULT 0,
            heartbeat_at      timestamptz
        );
        COMMENT ON TABLE control.stream IS 'One row per contract: what its streaming query is at';
        COMMENT ON COLUMN control.stream.generation IS
            'Kafka''s id of the topic whose offsets are committed; null before the first start';
        COMMENT ON COLUMN control.stream.sequence IS
            'Number of the last commit; the cache carries it, so that older never replaces newer';

        CREATE TABLE control.stream_offset (
            type             text NOT NULL REFERENCES control.stream,
            generation       text NOT NULL,
            kafka_partition  integer NOT NULL,
            begin_offset     bigint NOT NULL,
            next_offset      bigint NOT NULL,
            stored           bigint NOT NULL DEFAULT 0,
            quarantined      bigint NOT NULL DEFAULT 0,
            watermark        timestamptz,
            PRIMARY KEY (type, generation, kafka_partition),
            CHECK (next_offset - begin_offset = stored + quarantined)
        );
        COMMENT ON TABLE control.stream_offset IS
            'The only truth about progress: every record in [begin_offset, next_offset) is stored';
        COMMENT ON COLUMN control.stream_offset.watermark IS
            'Arrival time before which this partition is complete in the raw store';

        CREATE TABLE control.stream_batch (
            type              text NOT NULL,
            generation        text NOT NULL,
            kafka_partition   integer NOT NULL,
            from_offset       bigint NOT NULL,
            to_offset         bigint NOT NULL,
            arrival_min       timestamptz NOT NULL,
            arrival_max       timestamptz NOT NULL,
            contract_version  integer NOT NULL,
            stored            bigint NOT NULL,
            quarantined       bigint NOT NULL,
            sequence          bigint NOT NULL,
            committed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (type, generation, kafka_partition, from_offset),
            CHECK (to_offset - from_offset = stored + quarantined)
        );
        COMMENT ON TABLE control.stream_batch IS
            'Time index of the raw store: which offsets [from, to) arrived when';
        CREATE INDEX ON control.stream_batch (type, committed_at);
        CREATE INDEX ON control.stream_batch (type, arrival_max, arrival_min);
    """)
