"""What PostgreSQL says is stored, as of one commit: what the other stores are audited against."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.stores import control, flow, raw
from watershed.stores.control import Progress
from watershed.stores.flow import Position, Sum

EXPIRY_MARGIN = timedelta(hours=1)  # rows that may expire while they are read are not expected
ALWAYS = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Extent:
    """What the commits say of one Kafka partition, from where the audit begins.

    Quarantined records below ``kept_from``, ``expired`` in number, may be gone. ``faults`` are
    those of the time index, ``control.stream_batch``, itself.
    """

    offsets: range
    stored: int
    quarantined: int
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
    """One commit. ``since`` is None when it covers everything, else the first arrival time."""

    sequence: int
    generation: str
    since: datetime | None
    extents: dict[int, Extent]
    sums: list[Sum]
    positions: list[Position]

    @property
    def offsets(self) -> dict[int, int]:
        """The committed vector: the next offset of each partition."""
        return {partition: extent.offsets.stop for partition, extent in self.extents.items()}

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
    connection.rollback()
    cursor = connection.cursor()
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    generation = control.generation(connection, contract.type) or ""
    begin = _oldest(now, contract.retention.ttl_days)
    begin = max(since, begin) if since else begin
    cursor.execute(
        "SELECT EXISTS (SELECT FROM control.stream_batch"
        " WHERE type = %s AND generation = %s AND arrival_min < %s)",
        [contract.type, generation, begin],
    )
    limited = bool(cursor.fetchone()[0])  # type: ignore[index]
    taken = Snapshot(
        control.sequence(connection, contract.type),
        generation,
        begin if limited else None,
        _extents(connection, contract, generation, begin if limited else None, now),
        flow.sums(connection, contract),
        flow.positions(connection, contract),
    )
    connection.rollback()
    return taken


def _oldest(now: datetime, ttl_days: int) -> datetime:
    return now - timedelta(days=ttl_days) + EXPIRY_MARGIN


def _extents(
    connection: Connection,
    contract: Contract,
    generation: str,
    since: datetime | None,
    now: datetime,
) -> dict[int, Extent]:
    kept = _oldest(now, contract.retention.quarantine_ttl_days)
    cursor = connection.cursor()
    cursor.execute(
        "SELECT kafka_partition, min(from_offset), max(to_offset),"
        " sum(stored)::bigint, sum(quarantined)::bigint,"
        " coalesce(sum(quarantined) FILTER (WHERE arrival_min < %s), 0)::bigint,"
        " coalesce(max(to_offset) FILTER (WHERE arrival_min < %s), 0),"
        " coalesce(jsonb_agg(jsonb_build_array(before, from_offset) ORDER BY from_offset)"
        "  FILTER (WHERE before <> from_offset), '[]')"
        " FROM (SELECT *, lag(to_offset) OVER (PARTITION BY kafka_partition ORDER BY from_offset)"
        "  AS before FROM control.stream_batch"
        "  WHERE type = %s AND generation = %s AND arrival_max >= %s) AS batch"
        " GROUP BY kafka_partition",
        [kept, kept, contract.type, generation, since or ALWAYS],
    )
    indexed = {partition: rest for partition, *rest in cursor.fetchall()}
    progress = control.progress(connection, contract.type, generation)
    return {
        partition: _extent(state, indexed.get(partition), limited=since is not None)
        for partition, state in progress.items()
    }


def _extent(state: Progress, indexed: list[Any] | None, *, limited: bool) -> Extent:
    if indexed is None:
        nothing = state.next if limited else state.begin
        indexed = [nothing, nothing, 0, 0, 0, 0, []]
    first, last, stored, quarantined, expired, kept_from, breaks = indexed
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
    return Extent(range(begin, state.next), stored, quarantined, expired, kept_from, faults)
