"""The time index of the raw store, ``control.stream_batch``: which offsets arrived when.

What it says is committed: nothing that a batch under way has written is in it. A busy stream
leaves half a dozen rows a second. Those older than a day are joined, one per Kafka partition and
five minutes of arrival time: the keys of an interval are still found, and 400 days fit into some
100,000 rows per partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.contracts.model import Contract
from watershed.stores.raw import BLOCK
from watershed.stores.record_id import TopicPartition

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


class BlockOffsets(NamedTuple):
    """Offsets of one Cassandra partition; ``arrived_from`` is the first arrival in its batches."""

    topic_id: str
    partition: int
    offsets: range
    arrived_from: datetime
    arrived_to: datetime


class ArrivedOffsets(NamedTuple):
    """Offsets of one Kafka partition, of which ``whole`` arrived in an interval, with ``stored``
    valid events; of those around it some did."""

    topic_id: str
    partition: int
    offsets: range
    whole: range
    stored: int


class RecordCommit(NamedTuple):
    """The commit that a record came in with; of old ones, the last of those that were joined."""

    sequence: int
    committed_at: datetime
    contract_version: int


class IndexedOffsets(NamedTuple):
    """What the index has of one Kafka partition: ``[first, last)``, with so many records.

    ``skipped`` are ranges that an operator gave up, ``gaps`` where one row does not begin where
    the one before ends, as ``(end, begin)``. ``expired`` quarantined records arrived before a
    time, all of them below ``kept_from``.
    """

    first: int
    last: int
    stored: int
    quarantined: int
    skipped: list[list[int]]
    expired: int
    kept_from: int
    gaps: list[list[int]]


def add(
    cursor: Cursor, contract: Contract, topic_id: str, offsets: OffsetRange, sequence: int
) -> None:
    """Note when the records of a commit arrived."""
    cursor.execute(
        "INSERT INTO control.stream_batch (type, topic_id, kafka_partition, from_offset,"
        " to_offset, arrival_min, arrival_max, contract_version, stored, quarantined, skipped,"
        " sequence) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [contract.type, topic_id, offsets.partition, offsets.from_offset, offsets.to_offset,
         offsets.arrival_min, offsets.arrival_max, contract.version, offsets.stored,
         offsets.quarantined, offsets.skipped, sequence],
    )  # fmt: skip


def blocks(
    cursor: Cursor,
    event_type: str,
    what: Literal["stored", "quarantined"],
    since: datetime,
) -> list[BlockOffsets]:
    """Where ``what`` records are that arrived from ``since`` on, by Cassandra partition.

    Newest offsets first. The offsets begin and end with a batch that has such records; batches
    that have none, or that arrived before, may lie between.
    """
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
        BlockOffsets(topic_id, partition, range(start, stop), first, last)
        for topic_id, partition, start, stop, first, last in cursor.fetchall()
    ]


def arrived(
    cursor: Cursor, event_type: str, start: datetime, end: datetime
) -> list[ArrivedOffsets]:
    """Where the records are that arrived in ``[start, end)``, per topic id and Kafka partition.

    Arrival times only grow with the offsets, from batch to batch, so that all batches between the
    first and the last are among them.
    """
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
        ArrivedOffsets(topic_id, partition, range(first, to), range(begin, stop), stored)
        for topic_id, partition, first, to, begin, stop, stored in cursor.fetchall()
    ]


def arrivals(
    cursor: Cursor, event_type: str, start: datetime, end: datetime, width_s: int
) -> dict[datetime, int]:
    """How many valid events arrived in ``[start, end)``, by multiples of ``width_s``.

    Batches are counted whole, where they begin.
    """
    cursor.execute(
        "SELECT to_timestamp(floor(extract(epoch FROM greatest(arrival_min, %(start)s))"
        "  / %(width)s) * %(width)s) AS line, sum(stored)::bigint FROM control.stream_batch"
        " WHERE type = %(type)s AND arrival_max >= %(start)s AND arrival_min < %(end)s"
        " GROUP BY line",
        {"type": event_type, "start": start, "end": end, "width": width_s},
    )
    return dict(cursor.fetchall())


def oldest(cursor: Cursor, event_type: str) -> datetime | None:
    """The first arrival that the index knows of."""
    return _first(cursor, "min(arrival_min)", event_type)


def newest_commit(cursor: Cursor, event_type: str) -> datetime | None:
    """When the stream last committed records; None if never."""
    return _first(cursor, "max(committed_at)", event_type)


def _first(cursor: Cursor, aggregate: str, event_type: str) -> datetime | None:
    cursor.execute(f"SELECT {aggregate} FROM control.stream_batch WHERE type = %s", [event_type])
    [time] = cursor.fetchone() or [None]
    return time


def first_commit(cursor: Cursor, event_type: str, since: datetime) -> int | None:
    """The number of the first commit of records after a time; None when there is none yet."""
    cursor.execute(
        "SELECT min(sequence) FROM control.stream_batch WHERE type = %s AND committed_at > %s",
        [event_type, since],
    )
    [sequence] = cursor.fetchone() or [None]
    return sequence


def records_per_s(cursor: Cursor, event_type: str, window_s: int) -> float:
    """How many records were committed in the last ``window_s`` seconds, per second."""
    cursor.execute(
        "SELECT coalesce(sum(stored + quarantined), 0) FROM control.stream_batch WHERE type = %s"
        " AND committed_at > clock_timestamp() - make_interval(secs => %s)",
        [event_type, window_s],
    )
    return float(cursor.fetchone()[0]) / window_s  # type: ignore[index]


def commit_of(
    cursor: Cursor, event_type: str, topic_id: str, partition: int, offset: int
) -> RecordCommit | None:
    """The commit that a record came in with; None when it is not committed, or was so too long
    ago."""
    cursor.execute(
        "SELECT sequence, committed_at, contract_version FROM control.stream_batch"
        " WHERE type = %s AND topic_id = %s AND kafka_partition = %s"
        " AND from_offset <= %s AND to_offset > %s ORDER BY from_offset DESC LIMIT 1",
        [event_type, topic_id, partition, offset, offset],
    )
    row = cursor.fetchone()
    return RecordCommit(*row) if row else None


def indexed(
    cursor: Cursor, event_type: str, since: datetime, kept: datetime
) -> dict[TopicPartition, IndexedOffsets]:
    """What the index has of batches with arrivals from ``since`` on, per topic id and partition.

    Quarantined records that arrived before ``kept`` count as expired.
    """
    cursor.execute(
        "SELECT topic_id, kafka_partition, min(from_offset), max(to_offset),"
        " sum(stored)::bigint, sum(quarantined)::bigint,"
        " coalesce(jsonb_agg(jsonb_build_array(from_offset, to_offset) ORDER BY from_offset)"
        "  FILTER (WHERE skipped > 0), '[]'),"
        " coalesce(sum(quarantined) FILTER (WHERE arrival_min < %(kept)s), 0)::bigint,"
        " coalesce(max(to_offset) FILTER (WHERE arrival_min < %(kept)s), 0),"
        " coalesce(jsonb_agg(jsonb_build_array(before, from_offset) ORDER BY from_offset)"
        "  FILTER (WHERE before <> from_offset), '[]')"
        " FROM (SELECT *, lag(to_offset) OVER (PARTITION BY topic_id, kafka_partition"
        "  ORDER BY from_offset) AS before FROM control.stream_batch"
        "  WHERE type = %(type)s AND arrival_max >= %(since)s) AS batch"
        " GROUP BY topic_id, kafka_partition",
        {"type": event_type, "since": since, "kept": kept},
    )
    return {
        TopicPartition(topic_id, partition): IndexedOffsets(*rest)
        for topic_id, partition, *rest in cursor.fetchall()
    }


def has_older(cursor: Cursor, event_type: str, time: datetime) -> bool:
    """Whether the index has arrivals before a time."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM control.stream_batch WHERE type = %s AND arrival_min < %s)",
        [event_type, time],
    )
    return bool(cursor.fetchone()[0])  # type: ignore[index]


def begins(cursor: Cursor, event_type: str) -> dict[TopicPartition, int]:
    """The first offset that the index has, per topic id and partition."""
    cursor.execute(
        "SELECT topic_id, kafka_partition, min(from_offset) FROM control.stream_batch"
        " WHERE type = %s GROUP BY topic_id, kafka_partition",
        [event_type],
    )
    return {TopicPartition(*key): offset for *key, offset in cursor.fetchall()}


def join(cursor: Cursor, event_type: str, before: datetime) -> None:
    """Join what arrived before a time.

    Arrival times only grow with the offsets of a partition, so what is joined is adjacent.
    Skipped ranges stay apart: nothing is joined across one.
    """
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
        [event_type, before, JOIN_S],
    )
    same = "b.type = %s AND b.topic_id = j.topic_id AND b.kafka_partition = j.kafka_partition"
    cursor.execute(
        f"DELETE FROM control.stream_batch b USING joined j WHERE {same}"
        " AND b.from_offset > j.from_offset AND b.to_offset <= j.to_offset",
        [event_type],
    )
    cursor.execute(
        "UPDATE control.stream_batch b SET to_offset = j.to_offset, arrival_min = j.arrival_min,"
        " arrival_max = j.arrival_max, stored = j.stored, quarantined = j.quarantined,"
        f" sequence = j.sequence, committed_at = j.committed_at FROM joined j WHERE {same}"
        " AND b.from_offset = j.from_offset",
        [event_type],
    )


def prune(cursor: Cursor, event_type: str, before: datetime) -> int:
    """Delete what arrived before a time; how many rows."""
    cursor.execute(
        "DELETE FROM control.stream_batch WHERE type = %s AND arrival_max < %s",
        [event_type, before],
    )
    return cursor.rowcount
