"""What PostgreSQL says is stored, as of one commit: what the other stores are audited against."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.operations.audit.tally import ALWAYS, first_window
from watershed.speed import flow, progress
from watershed.speed.flow import Position, Sum
from watershed.speed.progress import Progress
from watershed.stores import raw

EXPIRY_MARGIN = timedelta(hours=1)  # rows that may expire while they are read are not expected


PartitionKey = tuple[str, int]
"""A topic id, and a Kafka partition."""


@dataclass(frozen=True)
class Extent:
    """What the commits say of one Kafka partition, from where the audit begins.

    ``skipped`` are the ranges that an operator gave up. Quarantined records below ``kept_from``,
    ``expired`` in number, may be gone. ``faults`` are those of the time index,
    ``control.stream_batch``, itself.
    """

    offsets: range
    stored: int
    quarantined: int
    skipped: tuple[range, ...] = ()
    expired: int = 0
    kept_from: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def blocks(self) -> list[range]:
        """The offsets, cut where Cassandra's partitions end."""
        start, stop = self.offsets.start, self.offsets.stop
        first = start // raw.BLOCK * raw.BLOCK
        blocks = [range(at, at + raw.BLOCK) for at in range(first, stop, raw.BLOCK)]
        return [range(max(start, b.start), min(stop, b.stop)) for b in blocks if start < stop]


@dataclass(frozen=True)
class Snapshot:
    """One commit. ``since`` is None when it covers everything, else the first arrival time.

    ``extents`` are those of every topic id, by topic id and partition.
    """

    sequence: int
    topic_id: str
    since: datetime | None
    extents: dict[PartitionKey, Extent]
    sums: list[Sum]
    positions: list[Position]

    @property
    def offsets(self) -> dict[int, int]:
        """The committed vector: the next offset of each partition of the topic as it is now."""
        return {
            partition: extent.offsets.stop
            for (topic_id, partition), extent in self.extents.items()
            if topic_id == self.topic_id
        }

    @property
    def records(self) -> int:
        """How many records the audit is about."""
        return sum(len(extent.offsets) for extent in self.extents.values())


def snapshot(
    connection: Connection, contract: Contract, since: datetime | None, now: datetime
) -> Snapshot:
    """The last commit, read in one transaction.

    It begins with the first batch that has arrivals from ``since`` on, and in any case not before
    the raw rows that have outlived their TTL ``now``.
    """
    begin_snapshot(connection)
    begin = _oldest(now, contract.retention.ttl_days)
    begin = max(since, begin) if since else begin
    limit = begin if _has_older(connection, contract, begin) else None
    first = first_window(limit, contract.flow.window_s) if limit else ALWAYS
    taken = Snapshot(
        progress.sequence(connection, contract.type),
        progress.topic_id(connection, contract.type) or "",
        limit,
        _extents(connection, contract, limit, now),
        flow.stored(connection, contract, first),
        flow.positions(connection, contract),
    )
    connection.rollback()
    return taken


def begin_snapshot(connection: Connection) -> None:
    """Begin a transaction that sees one moment; what was open is rolled back."""
    connection.rollback()
    cursor = connection.cursor()
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _oldest(now: datetime, ttl_days: int) -> datetime:
    return now - timedelta(days=ttl_days) + EXPIRY_MARGIN


def _has_older(connection: Connection, contract: Contract, begin: datetime) -> bool:
    """Whether commits have, or had, arrivals before ``begin``."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT EXISTS (SELECT FROM control.stream_batch WHERE type = %s AND arrival_min < %s)"
        " OR EXISTS (SELECT FROM control.stream_offset WHERE type = %s"
        "  AND indexed_from > begin_offset)",
        [contract.type, begin, contract.type],
    )
    return bool(cursor.fetchone()[0])  # type: ignore[index]


def _extents(
    connection: Connection, contract: Contract, since: datetime | None, now: datetime
) -> dict[PartitionKey, Extent]:
    kept = _oldest(now, contract.retention.quarantine_ttl_days)
    cursor = connection.cursor()
    cursor.execute(
        "SELECT topic_id, kafka_partition, min(from_offset), max(to_offset),"
        " sum(stored)::bigint, sum(quarantined)::bigint,"
        " coalesce(jsonb_agg(jsonb_build_array(from_offset, to_offset) ORDER BY from_offset)"
        "  FILTER (WHERE skipped > 0), '[]'),"
        " coalesce(sum(quarantined) FILTER (WHERE arrival_min < %s), 0)::bigint,"
        " coalesce(max(to_offset) FILTER (WHERE arrival_min < %s), 0),"
        " coalesce(jsonb_agg(jsonb_build_array(before, from_offset) ORDER BY from_offset)"
        "  FILTER (WHERE before <> from_offset), '[]')"
        " FROM (SELECT *, lag(to_offset) OVER (PARTITION BY topic_id, kafka_partition"
        "  ORDER BY from_offset) AS before FROM control.stream_batch"
        "  WHERE type = %s AND arrival_max >= %s) AS batch"
        " GROUP BY topic_id, kafka_partition",
        [kept, kept, contract.type, since or ALWAYS],
    )
    indexed = {(topic_id, partition): rest for topic_id, partition, *rest in cursor.fetchall()}
    return {
        place: _extent(state, indexed.get(place), limited=since is not None)
        for place, state in progress.all_progress(connection, contract.type).items()
    }


def _extent(state: Progress, indexed: list[Any] | None, *, limited: bool) -> Extent:
    if indexed is None:
        nothing = state.next if limited else state.begin
        indexed = [nothing, nothing, 0, 0, [], 0, 0, []]
    first, last, stored, quarantined, skipped, expired, kept_from, breaks = indexed
    begin = first if limited else state.begin
    faults = [
        f"control.stream_batch has [{min(a, b)}, {max(a, b)}) {'never' if a < b else 'twice'}"
        for a, b in [(begin, first), *breaks, (last, state.next)]
        if a != b
    ]
    if not limited and (stored, quarantined) != (state.stored, state.quarantined):
        faults.append(
            f"control.stream_offset counts {state.stored:,} stored, {state.quarantined:,}"
            f" quarantined; control.stream_batch {stored:,} and {quarantined:,}"
        )
    given_up = tuple(range(a, b) for a, b in skipped)
    offsets = range(begin, state.next)
    return Extent(offsets, stored, quarantined, given_up, expired, kept_from, faults)
