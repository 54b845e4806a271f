"""The time index of the raw store, ``control.stream_batch``: which offsets arrived when.

What it says is committed: nothing that a batch under way has written is in a span. A busy stream
leaves half a dozen rows a second. Those older than a day are joined, one per Kafka partition and
five minutes of arrival time: the keys of an interval are still found, and 400 days fit into some
100,000 rows per partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.speed import flow
from watershed.stores.raw import BLOCK

JOIN_AFTER = timedelta(days=1)
JOIN_S = 300


@dataclass(frozen=True)
class OffsetRange:
    """What a batch has of one Kafka partition: records ``[from_offset, to_offset)``.

    ``skipped`` are offsets without a record that an operator gave up.
    """

    partition: int
    from_offset: int
    to_offset: int
    arrival_min: datetime
    arrival_max: datetime
    stored: int
    quarantined: int
    skipped: int = 0


class Span(NamedTuple):
    """Offsets of one Cassandra partition; ``arrived_from`` is the first arrival in its batches."""

    topic_id: str
    partition: int
    offsets: range
    arrived_from: datetime
    arrived_to: datetime


class Stretch(NamedTuple):
    """Offsets of one Kafka partition, of which ``whole`` arrived in an interval, with ``stored``
    valid events; of those around it some did."""

    topic_id: str
    partition: int
    offsets: range
    whole: range
    stored: int


class Batch(NamedTuple):
    """The commit that a record came in with; of old ones, the last of those that were joined."""

    sequence: int
    committed_at: datetime
    contract_version: int


def spans(
    connection: Connection,
    event_type: str,
    what: Literal["stored", "quarantined"],
    since: datetime,
) -> list[Span]:
    """Where ``what`` records are that arrived from ``since`` on: one span per Cassandra partition.

    Newest offsets first. A span begins and ends with a batch that has such records; batches that
    have none, or that arrived before, may lie in it.
    """
    cursor = connection.cursor()
    cursor.execute(
        sql.SQL(
            "SELECT topic_id, kafka_partition, greatest(min(from_offset), block * %(block)s),"
            " least(max(to_offset), (block + 1) * %(block)s), min(arrival_min), max(arrival_max)"
            " FROM control.stream_batch,"
            " generate_series(from_offset / %(block)s, (to_offset - 1) / %(block)s) AS block"
            " WHERE type = %(type)s AND arrival_max >= %(since)s AND {} > 0"
            " GROUP BY topic_id, kafka_partition, block ORDER BY block DESC, kafka_partition"
        ).format(sql.Identifier(what)),
        {"block": BLOCK, "type": event_type, "since": since},
    )
    return [
        Span(topic_id, partition, range(start, stop), first, last)
        for topic_id, partition, start, stop, first, last in cursor.fetchall()
    ]


def arrived(
    connection: Connection, event_type: str, start: datetime, end: datetime
) -> list[Stretch]:
    """Where the records are that arrived in ``[start, end)``, in this connection's transaction.

    One stretch per topic id and Kafka partition: arrival times only grow with the offsets, from
    batch to batch, so that all batches between the first and the last are in it.
    """
    cursor = connection.cursor()
    cursor.execute(
        "SELECT topic_id, kafka_partition, min(from_offset), max(to_offset),"
        " coalesce(min(from_offset) FILTER (WHERE inside), 0),"
        " coalesce(max(to_offset) FILTER (WHERE inside), 0),"
        " coalesce(sum(stored) FILTER (WHERE inside), 0)::bigint"
        " FROM (SELECT *, arrival_min >= %(start)s AND arrival_max < %(end)s AS inside"
        "  FROM control.stream_batch"
        "  WHERE type = %(type)s AND arrival_max >= %(start)s AND arrival_min < %(end)s) AS batch"
        " GROUP BY topic_id, kafka_partition ORDER BY topic_id, kafka_partition",
        {"type": event_type, "start": start, "end": end},
    )
    return [
        Stretch(topic_id, partition, range(first, to), range(begin, stop), stored)
        for topic_id, partition, first, to, begin, stop, stored in cursor.fetchall()
    ]


def oldest(connection: Connection, event_type: str) -> datetime | None:
    """The first arrival that the index knows of, in this connection's transaction."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT min(arrival_min) FROM control.stream_batch WHERE type = %s", [event_type]
    )
    [found] = cursor.fetchone() or [None]
    return found


def newest_commit(connection: Connection, event_type: str) -> datetime | None:
    """When the stream last committed records, in this connection's transaction; None if never."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT max(committed_at) FROM control.stream_batch WHERE type = %s", [event_type]
    )
    [found] = cursor.fetchone() or [None]
    return found


def full_at(
    connection: Connection, event_type: str, start: datetime, end: datetime, most: int
) -> datetime | None:
    """An arrival time before which ``most`` events at most have arrived since ``start``; None when
    no more have by ``end``. Batches are counted whole; in this connection's transaction."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT min(arrival_min) FROM (SELECT arrival_min, sum(stored) OVER (ORDER BY arrival_max)"
        "  AS events FROM control.stream_batch"
        "  WHERE type = %s AND arrival_max >= %s AND arrival_min < %s) AS batch WHERE events > %s",
        [event_type, start, end, most],
    )
    [found] = cursor.fetchone() or [None]
    return found


def holding(
    connection: Connection, event_type: str, topic_id: str, partition: int, offset: int
) -> Batch | None:
    """The batch that has a record; None when it is not committed, or was so too long ago."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT sequence, committed_at, contract_version FROM control.stream_batch"
        " WHERE type = %s AND topic_id = %s AND kafka_partition = %s"
        " AND from_offset <= %s AND to_offset > %s ORDER BY from_offset DESC LIMIT 1",
        [event_type, topic_id, partition, offset, offset],
    )
    found = cursor.fetchone()
    return Batch(*found) if found else None


def index(
    connection: Connection, contract: Contract, topic_id: str, one: OffsetRange, sequence: int
) -> None:
    """Note in the time index when these records arrived, in this connection's transaction."""
    connection.cursor().execute(
        "INSERT INTO control.stream_batch (type, topic_id, kafka_partition, from_offset,"
        " to_offset, arrival_min, arrival_max, contract_version, stored, quarantined, skipped,"
        " sequence) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [contract.type, topic_id, one.partition, one.from_offset, one.to_offset,
         one.arrival_min, one.arrival_max, contract.version, one.stored, one.quarantined,
         one.skipped, sequence],
    )  # fmt: skip


def prune(connection: Connection, contract: Contract, now: datetime) -> None:
    """Join old rows of the time index; forget what has outlived the contract's TTL. Commits."""
    with connection:
        _join(connection, contract, now - JOIN_AFTER)
        _forget(connection, contract, now - timedelta(days=contract.retention.ttl_days))


def _join(connection: Connection, contract: Contract, before: datetime) -> None:
    """Arrival times only grow with the offsets of a partition, so what is joined is adjacent.

    Skipped ranges stay apart: nothing is joined across one.
    """
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TEMPORARY TABLE joined ON COMMIT DROP AS"
        " SELECT topic_id, kafka_partition, min(from_offset) AS from_offset,"
        "  max(to_offset) AS to_offset, min(arrival_min) AS arrival_min,"
        "  max(arrival_max) AS arrival_max, sum(stored) AS stored,"
        "  sum(quarantined) AS quarantined, max(sequence) AS sequence,"
        "  max(committed_at) AS committed_at"
        " FROM (SELECT *, count(*) FILTER (WHERE skipped > 0) OVER"
        "   (PARTITION BY topic_id, kafka_partition ORDER BY from_offset) AS island"
        "  FROM control.stream_batch WHERE type = %s AND arrival_max < %s) AS old"
        " WHERE skipped = 0 GROUP BY topic_id, kafka_partition, contract_version, island,"
        "  floor(extract(epoch FROM arrival_max) / %s) HAVING count(*) > 1",
        [contract.type, before, JOIN_S],
    )
    same = "b.type = %s AND b.topic_id = j.topic_id AND b.kafka_partition = j.kafka_partition"
    cursor.execute(
        f"DELETE FROM control.stream_batch b USING joined j WHERE {same}"
        " AND b.from_offset > j.from_offset AND b.to_offset <= j.to_offset",
        [contract.type],
    )
    cursor.execute(
        "UPDATE control.stream_batch b SET to_offset = j.to_offset, arrival_min = j.arrival_min,"
        " arrival_max = j.arrival_max, stored = j.stored, quarantined = j.quarantined,"
        f" sequence = j.sequence, committed_at = j.committed_at FROM joined j WHERE {same}"
        " AND b.from_offset = j.from_offset",
        [contract.type],
    )


def _forget(connection: Connection, contract: Contract, before: datetime) -> None:
    cursor = connection.cursor()
    # As a commit does, first: two that lock partitions in different orders would wait for ever.
    cursor.execute("SELECT FROM control.stream WHERE type = %s FOR UPDATE", [contract.type])
    cursor.execute(
        "DELETE FROM control.stream_batch WHERE type = %s AND arrival_max < %s",
        [contract.type, before],
    )
    if cursor.rowcount:
        cursor.execute(
            "UPDATE control.stream_offset o SET indexed_from = coalesce((SELECT min(from_offset)"
            " FROM control.stream_batch b WHERE b.type = o.type AND b.topic_id = o.topic_id"
            " AND b.kafka_partition = o.kafka_partition), next_offset) WHERE type = %s",
            [contract.type],
        )
    flow.forget(connection, contract, before)
