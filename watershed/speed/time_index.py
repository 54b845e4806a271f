"""The time index of the raw store, ``control.stream_batch``, as those read it who look for records.

What it says is committed: nothing that a batch under way has written is in a span.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from watershed.stores.raw import BLOCK


class Span(NamedTuple):
    """Offsets of one Cassandra partition; ``arrived_from`` is the first arrival in its batches."""

    generation: str
    partition: int
    offsets: range
    arrived_from: datetime
    arrived_to: datetime


class Stretch(NamedTuple):
    """Offsets of one Kafka partition, of which ``whole`` arrived in an interval, with ``stored``
    valid events; of those around it some did."""

    generation: str
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
            "SELECT generation, kafka_partition, greatest(min(from_offset), block * %(block)s),"
            " least(max(to_offset), (block + 1) * %(block)s), min(arrival_min), max(arrival_max)"
            " FROM control.stream_batch,"
            " generate_series(from_offset / %(block)s, (to_offset - 1) / %(block)s) AS block"
            " WHERE type = %(type)s AND arrival_max >= %(since)s AND {} > 0"
            " GROUP BY generation, kafka_partition, block ORDER BY block DESC, kafka_partition"
        ).format(sql.Identifier(what)),
        {"block": BLOCK, "type": event_type, "since": since},
    )
    return [
        Span(generation, partition, range(start, stop), first, last)
        for generation, partition, start, stop, first, last in cursor.fetchall()
    ]


def arrived(
    connection: Connection, event_type: str, start: datetime, end: datetime
) -> list[Stretch]:
    """Where the records are that arrived in ``[start, end)``, in this connection's transaction.

    One stretch per generation and Kafka partition: arrival times only grow with the offsets, from
    batch to batch, so that all batches between the first and the last are in it.
    """
    cursor = connection.cursor()
    cursor.execute(
        "SELECT generation, kafka_partition, min(from_offset), max(to_offset),"
        " coalesce(min(from_offset) FILTER (WHERE inside), 0),"
        " coalesce(max(to_offset) FILTER (WHERE inside), 0),"
        " coalesce(sum(stored) FILTER (WHERE inside), 0)::bigint"
        " FROM (SELECT *, arrival_min >= %(start)s AND arrival_max < %(end)s AS inside"
        "  FROM control.stream_batch"
        "  WHERE type = %(type)s AND arrival_max >= %(start)s AND arrival_min < %(end)s) AS batch"
        " GROUP BY generation, kafka_partition ORDER BY generation, kafka_partition",
        {"type": event_type, "start": start, "end": end},
    )
    return [
        Stretch(generation, partition, range(first, to), range(begin, stop), stored)
        for generation, partition, first, to, begin, stop, stored in cursor.fetchall()
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
    connection: Connection, event_type: str, generation: str, partition: int, offset: int
) -> Batch | None:
    """The batch that has a record; None when it is not committed, or was so too long ago."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT sequence, committed_at, contract_version FROM control.stream_batch"
        " WHERE type = %s AND generation = %s AND kafka_partition = %s"
        " AND from_offset <= %s AND to_offset > %s ORDER BY from_offset DESC LIMIT 1",
        [event_type, generation, partition, offset, offset],
    )
    found = cursor.fetchone()
    return Batch(*found) if found else None
