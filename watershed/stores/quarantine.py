"""The quarantine: every invalid record whole, keyed as in the raw store, with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from cassandra.cluster import Session
from cassandra.query import SimpleStatement

from watershed.stores.cassandra_table import Table
from watershed.stores.raw import BLOCK, KEY

DEFAULT_TTL_DAYS = 30  # each row's own TTL comes from its contract
FETCH = 1_000


class Rejected(NamedTuple):
    """A record that is no valid event, without its bytes. Times are in UTC."""

    partition: int
    offset: int
    kafka_time: datetime
    arrival_time: datetime
    reason: str
    detail: str


class QuarantinedRecord(NamedTuple):
    """A quarantined record whole: Kafka's key and value, None where Kafka had none."""

    rejected: Rejected
    key: bytes | None
    value: bytes | None


LISTED = "kafka_partition, kafka_offset, kafka_time, arrival_time, reason, detail"
PARTITION = "topic_id = %s AND kafka_partition = %s AND offset_block = %s"


def table() -> Table:
    """``quarantine``, for every contract: a topic id belongs to one topic."""
    return Table(
        "quarantine",
        {
            "topic_id": "text",
            "kafka_partition": "int",
            "offset_block": "bigint",
            "kafka_offset": "bigint",
            "kafka_time": "timestamp",
            "arrival_time": "timestamp",
            "type": "text",
            "reason": "text",
            "detail": "text",
            "key": "blob",
            "value": "blob",
        },
        KEY,
        DEFAULT_TTL_DAYS,
    )


def newest(session: Session, topic_id: str, partition: int, offsets: range) -> Iterator[Rejected]:
    """Records of one Kafka partition and one Cassandra partition, the last offset first."""
    query = SimpleStatement(
        f"SELECT {LISTED} FROM quarantine WHERE {PARTITION}"
        " AND kafka_offset >= %s AND kafka_offset < %s ORDER BY kafka_offset DESC",
        fetch_size=FETCH,
    )
    key = (topic_id, partition, offsets.start // BLOCK, offsets.start, offsets.stop)
    for row in session.execute(query, key):
        yield _rejected(row)


def at(session: Session, topic_id: str, partition: int, offset: int) -> QuarantinedRecord | None:
    """One record; None when the quarantine has none there, or no longer."""
    query = f"SELECT {LISTED}, key, value FROM quarantine WHERE {PARTITION} AND kafka_offset = %s"
    row = session.execute(query, (topic_id, partition, offset // BLOCK, offset)).one()
    return QuarantinedRecord(_rejected(row), row.key, row.value) if row else None


def with_key(
    session: Session, topic_id: str, partition: int, offsets: range, key: bytes
) -> list[Rejected]:
    """Records with this Kafka key in a range of one Cassandra partition; the server looks."""
    query = (
        f"SELECT {LISTED} FROM quarantine WHERE {PARTITION}"
        " AND kafka_offset >= %s AND kafka_offset < %s AND key = %s ALLOW FILTERING"
    )
    bounds = (topic_id, partition, offsets.start // BLOCK, offsets.start, offsets.stop)
    return [_rejected(row) for row in session.execute(query, (*bounds, key))]


def _rejected(row: tuple[int, int, datetime, datetime, str, str]) -> Rejected:
    partition, offset, kafka_time, arrival_time, reason, detail, *_ = row
    times = kafka_time.replace(tzinfo=UTC), arrival_time.replace(tzinfo=UTC)
    return Rejected(partition, offset, *times, reason, detail)
