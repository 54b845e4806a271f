"""The lease, what operators did, contracts as they were, and ranges that were given up."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE control.stream
            ADD COLUMN epoch        bigint NOT NULL DEFAULT 0,
            ADD COLUMN holder       text,
            ADD COLUMN lease_until  timestamptz,
            ADD COLUMN refusal      text;
        COMMENT ON COLUMN control.stream.epoch IS
            'Raised by each writer that takes the lease; a commit under an older one is refused';
        COMMENT ON COLUMN control.stream.holder IS 'Which process has the lease: host:pid:start';
        COMMENT ON COLUMN control.stream.refusal IS
            'Why the stream does not go on, with the command that repairs it; null when it does';

        ALTER TABLE control.stream_offset
            ADD COLUMN skipped        bigint NOT NULL DEFAULT 0,
            ADD COLUMN indexed_from   bigint,
            ADD COLUMN untimed_until  bigint,
            ADD COLUMN untimed_at     timestamptz,
            ADD COLUMN holes_until    bigint,
            DROP CONSTRAINT stream_offset_check,
            ADD CONSTRAINT stream_offset_check
                CHECK (next_offset - begin_offset = stored + quarantined + skipped);
        UPDATE control.stream_offset SET indexed_from = begin_offset;
        ALTER TABLE control.stream_offset ALTER COLUMN indexed_from SET NOT NULL;
        COMMENT ON COLUMN control.stream_offset.skipped IS
            'Records an operator gave up, since Kafka no longer had them';
        COMMENT ON COLUMN control.stream_offset.indexed_from IS
            'First offset that control.stream_batch still has; what is before outlived its TTL';
        COMMENT ON COLUMN control.stream_offset.untimed_until IS
            'Records before this offset have a wrong Kafka time, an operator said: none arrives'
            ' after untimed_at, and event times are judged by that';
        COMMENT ON COLUMN control.stream_offset.holes_until IS
            'Offsets before this one may have no record, an operator said; they are skipped';

        ALTER TABLE control.stream_batch
            ADD COLUMN skipped bigint NOT NULL DEFAULT 0,
            DROP CONSTRAINT stream_batch_check,
            ADD CONSTRAINT stream_batch_check
                CHECK (to_offset - from_offset = stored + quarantined + skipped);

        CREATE TABLE control.contract (
            type         text NOT NULL REFERENCES control.stream,
            version      integer NOT NULL,
            definition   jsonb NOT NULL,
            since        jsonb NOT NULL,
            taken_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (type, version)
        );
        COMMENT ON TABLE control.contract IS 'Each version of a contract that events came in under';
        COMMENT ON COLUMN control.contract.since IS
            'The committed offset of each Kafka partition when the version took effect';

        CREATE TABLE control.operator_log (
            id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at           timestamptz NOT NULL DEFAULT clock_timestamp(),
            operator     text NOT NULL,
            command      text NOT NULL,
            type         text NOT NULL,
            detail       jsonb NOT NULL
        );
        COMMENT ON TABLE control.operator_log IS 'Who repaired, rebuilt, replayed or gave up what';

        CREATE TABLE control.quarantine_replay (
            type             text NOT NULL,
            generation       text NOT NULL,
            kafka_partition  integer NOT NULL,
            kafka_offset     bigint NOT NULL,
            operation        bigint NOT NULL REFERENCES control.operator_log,
            looked_from      jsonb NOT NULL,
            value_sha256     text NOT NULL,
            to_partition     integer,
            to_offset        bigint,
            PRIMARY KEY (type, generation, kafka_partition, kafka_offset)
        );
        COMMENT ON TABLE control.quarantine_replay IS
            'Quarantined records that went back to Kafka, repaired; each may go once';
        COMMENT ON COLUMN control.quarantine_replay.looked_from IS
            'Where the topic ended before the record was sent: from there on a second try looks'
            ' for it in Kafka. Null to_offset: sent, perhaps, but not seen to be acknowledged';
    """)
