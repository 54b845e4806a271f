"""Is anything lost, doubled or wrong? Proves every store against the others, as of one commit.

PostgreSQL's commit says which offsets are stored and what they sum to; the raw rows and the
quarantine up to it are read whole, whatever is written beyond it meanwhile. Rows pass by; what is
kept is their sum per flow window and group.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

import redis
import stamina
from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.settings import Settings
from watershed.stores import cache, cassandra, control, flow, postgres, raw, topics
from watershed.stores.control import Progress
from watershed.stores.flow import Position, Sum

READERS = 3  # more, and the server is the bottleneck: 1 reads 94 k rows/s on two cores, 3 read 130 k
FAULTS_MAX = 20
CACHE_TIMEOUT_S = 20
DIGITS = 76  # exact whatever is added up: PostgreSQL's numeric(38) and as much again
EPOCH = datetime(1970, 1, 1)
EXPIRY_MARGIN = timedelta(hours=1)  # rows that expire while they are read are not looked for

Key = tuple[Any, ...]
Total = tuple[Decimal, int]
Watch = Callable[[str, int, int], None]
"""Told the contract's type, the records read so far, and how many there are."""


@dataclass(frozen=True)
class Check:
    """One check of one contract; it holds when it found no faults."""

    contract: str
    check: str
    looked_at: str
    faults: list[str]

    @property
    def ok(self) -> bool:
        return not self.faults


@dataclass(frozen=True)
class Extent:
    """What the commit says of one Kafka partition, from where the audit begins.

    Quarantined records below ``kept_from`` may have expired, at most ``expired`` of them.
    """

    offsets: range
    stored: int = 0
    quarantined: int = 0
    expired: int = 0
    kept_from: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Snapshot:
    """PostgreSQL as of one commit. ``since`` is None when the audit is of all there is."""

    sequence: int
    generation: str
    since: datetime | None
    progress: dict[int, Progress]
    extents: dict[int, Extent]
    sums: list[Sum]
    positions: list[Position]


@dataclass
class Found:
    """What one stretch of a partition has: faulty offsets, rows, and the raw rows' sums."""

    gaps: list[range] = field(default_factory=list)
    overlaps: list[range] = field(default_factory=list)
    stored: int = 0
    quarantined: int = 0
    totals: dict[Key, Total] = field(default_factory=dict)


class _Moving(Exception):
    """The cache and the stores were not at one commit while they were compared."""


def audit(
    settings: Settings, contract: Contract, since: datetime | None, now: datetime, watch: Watch
) -> tuple[Snapshot, list[Check]]:
    """Every check of one contract, and the commit they hold for (the cache's is a later one).

    With ``since``, only records that arrived from then on. Raises one of UNAVAILABLE.
    """
    with (
        postgres.connect(settings) as connection,
        cassandra.connect(settings) as session,
        cache.connect(settings) as client,
    ):
        taken = snapshot(connection, contract, since, now)
        found = _read(session, settings.cassandra_keyspace, contract, taken, watch)
        return taken, [
            _offsets(contract, taken, found),
            _kafka(settings, contract, taken),
            _flow(contract, taken, found),
            _position(contract, taken, found),
            _cache(settings, contract, connection, session, client),
        ]


def snapshot(
    connection: Connection, contract: Contract, since: datetime | None, now: datetime
) -> Snapshot:
    """What PostgreSQL says in one transaction; rows whose TTL may have ended are left out."""
    cursor = connection.cursor()
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    generation = control.generation(connection, contract.type) or ""
    kept = now - timedelta(days=contract.retention.ttl_days) + EXPIRY_MARGIN
    begin = max(since, kept) if since else kept
    older = "type = %s AND generation = %s AND arrival_min < %s"
    cursor.execute(
        f"SELECT EXISTS (SELECT FROM control.stream_batch WHERE {older})",
        [contract.type, generation, begin],
    )
    since = begin if cursor.fetchone()[0] else None  # type: ignore[index]
    progress = control.progress(connection, contract.type, generation)
    taken = Snapshot(
        control.sequence(connection, contract.type),
        generation,
        since,
        progress,
        _extents(connection, contract, generation, progress, since, now),
        flow.sums(connection, contract),
        flow.positions(connection, contract),
    )
    connection.rollback()
    return taken


def _extents(
    connection: Connection,
    contract: Contract,
    generation: str,
    progress: dict[int, Progress],
    since: datetime | None,
    now: datetime,
) -> dict[int, Extent]:
    quarantine_kept = now - timedelta(days=contract.retention.quarantine_ttl_days) + EXPIRY_MARGIN
    cursor = connection.cursor()
    cursor.execute(
        "SELECT kafka_partition, min(from_offset), max(to_offset), sum(stored)::bigint,"
        " sum(quarantined)::bigint,"
        " coalesce(sum(quarantined) FILTER (WHERE arrival_min < %(kept)s), 0)::bigint,"
        " coalesce(max(to_offset) FILTER (WHERE arrival_min < %(kept)s), 0),"
        " coalesce(jsonb_agg(jsonb_build_array(before, from_offset))"
        " FILTER (WHERE before <> from_offset), '[]')"
        " FROM (SELECT *, lag(to_offset) OVER (PARTITION BY kafka_partition ORDER BY from_offset)"
        " AS before FROM control.stream_batch WHERE type = %(type)s"
        " AND generation = %(generation)s AND arrival_max >= %(since)s) AS batch"
        " GROUP BY kafka_partition",
        {
            "type": contract.type,
            "generation": generation,
            "since": since or datetime.min.replace(tzinfo=UTC),
            "kept": quarantine_kept,
        },
    )
    indexed = {partition: rest for partition, *rest in cursor.fetchall()}
    return {p: _extent(p, state, indexed.get(p), since) for p, state in progress.items()}


def _extent(
    partition: int, state: Progress, indexed: list[Any] | None, since: datetime | None
) -> Extent:
    if indexed is None:
        begin = state.next if since else state.begin
        return Extent(range(begin, state.next), faults=_chain(partition, [(begin, state.next)]))
    first, last, stored, quarantined, expired, kept_from, breaks = indexed
    begin = first if since else state.begin
    faults = _chain(partition, [(begin, first), *breaks, (last, state.next)])
    if not since and (stored, quarantined) != (state.stored, state.quarantined):
        faults.append(
            f"partition {partition}: control.stream_offset counts {state.stored:,} stored and"
            f" {state.quarantined:,} quarantined, control.stream_batch {stored:,} and"
            f" {quarantined:,}"
        )
    return Extent(range(begin, state.next), stored, quarantined, expired, kept_from, faults)


def _chain(partition: int, joints: Iterable[tuple[int, int]]) -> list[str]:
    return [
        f"partition {partition}: control.stream_batch has [{min(joint)}, {max(joint)})"
        f" {'never' if joint[0] < joint[1] else 'twice'}"
        for joint in joints
        if joint[0] != joint[1]
    ]


def _read(
    session: Session, keyspace: str, contract: Contract, taken: Snapshot, watch: Watch
) -> dict[int, Found]:
    """Every partition's raw rows and quarantine, by blocks: a block is one Cassandra partition."""
    blocks = [(p, block) for p, e in taken.extents.items() for block in _blocks(e.offsets)]
    found = {partition: Found() for partition in taken.extents}
    total, done = sum(len(offsets) for _, offsets in blocks), 0
    totals: dict[Key, Total] = {}
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(
            lambda at: _block(session, keyspace, contract, taken.generation, *at), blocks
        )
        for (partition, offsets), block in zip(blocks, read, strict=True):
            _merge(found[partition], block)
            done += len(offsets)
            watch(contract.type, done, total)
    return found
