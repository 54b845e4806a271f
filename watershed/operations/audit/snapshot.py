"""What PostgreSQL says is stored, as of one commit: what the other stores are audited against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.contracts.model import Contract
from watershed.operations.audit.tally import ALWAYS, first_window
from watershed.speed import flow, progress, time_index
from watershed.speed.flow import GroupPosition, Sum
from watershed.speed.progress import Progress
from watershed.speed.time_index import IndexedOffsets
from watershed.stores import postgres
from watershed.stores.record_id import TopicPartition

EXPIRY_MARGIN = timedelta(hours=1)  # rows that may expire while they are read are not expected


@dataclass(frozen=True)
class CommittedOffsets:
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


@dataclass(frozen=True)
class CommitSnapshot:
    """One commit. ``since`` is None when it covers everything, else the first arrival time.

    ``partitions`` are those of every topic id that was read.
    """

    sequence: int
    topic_id: str
    since: datetime | None
    partitions: dict[TopicPartition, CommittedOffsets]
    sums: list[Sum]
    positions: list[GroupPosition]

    @property
    def offsets(self) -> dict[int, int]:
        """The committed vector: the next offset of each partition of the topic as it is now."""
        return {
            key.partition: committed.offsets.stop
            for key, committed in self.partitions.items()
            if key.topic_id == self.topic_id
        }

    @property
    def records(self) -> int:
        """How many records the audit is about."""
        return sum(len(committed.offsets) for committed in self.partitions.values())


def snapshot(
    connection: Connection, contract: Contract, since: datetime | None, now: datetime
) -> CommitSnapshot:
    """The last commit, read in one transaction.

    It begins with the first batch that has arrivals from ``since`` on, and in any case not before
    the raw rows that have outlived their TTL ``now``.
    """
    begin = _oldest(now, contract.retention.ttl_days)
    begin = max(since, begin) if since else begin
    with postgres.snapshot(connection) as cursor:
        states = progress.read_all(cursor, contract.type)
        limit = begin if _has_older(cursor, contract, states, begin) else None
        first = first_window(limit, contract.flow.window_s) if limit else ALWAYS
        return CommitSnapshot(
            progress.sequence(cursor, contract.type),
            progress.topic_id(cursor, contract.type) or "",
            limit,
            _committed(cursor, contract, states, limit, now),
            flow.stored(cursor, contract, first),
            flow.positions(cursor, contract),
        )


def _oldest(now: datetime, ttl_days: int) -> datetime:
    return now - timedelta(days=ttl_days) + EXPIRY_MARGIN


def _has_older(
    cursor: Cursor,
    contract: Contract,
    states: Mapping[TopicPartition, Progress],
    begin: datetime,
) -> bool:
    """Whether commits have, or had, arrivals before ``begin``."""
    was_pruned = any(state.indexed_from > state.begin for state in states.values())
    return was_pruned or time_index.has_older(cursor, contract.type, begin)


def _committed(
    cursor: Cursor,
    contract: Contract,
    states: Mapping[TopicPartition, Progress],
    since: datetime | None,
    now: datetime,
) -> dict[TopicPartition, CommittedOffsets]:
    kept = _oldest(now, contract.retention.quarantine_ttl_days)
    indexed = time_index.indexed(cursor, contract.type, since or ALWAYS, kept)
    return {
        key: _of_partition(state, indexed.get(key), limited=since is not None)
        for key, state in states.items()
    }


def _of_partition(
    state: Progress, indexed: IndexedOffsets | None, *, limited: bool
) -> CommittedOffsets:
    if indexed is None:
        nothing = state.next if limited else state.begin
        indexed = IndexedOffsets(nothing, nothing, 0, 0, [], 0, 0, [])
    begin = indexed.first if limited else state.begin
    faults = [
        f"control.stream_batch has [{min(a, b)}, {max(a, b)}) {'never' if a < b else 'twice'}"
        for a, b in [(begin, indexed.first), *indexed.gaps, (indexed.last, state.next)]
        if a != b
    ]
    counted = indexed.stored, indexed.quarantined
    if not limited and counted != (state.stored, state.quarantined):
        faults.append(
            f"control.stream_offset counts {state.stored:,} stored, {state.quarantined:,}"
            f" quarantined; control.stream_batch {counted[0]:,} and {counted[1]:,}"
        )
    return CommittedOffsets(
        range(begin, state.next),
        *counted,
        tuple(range(a, b) for a, b in indexed.skipped),
        indexed.expired,
        indexed.kept_from,
        faults,
    )
