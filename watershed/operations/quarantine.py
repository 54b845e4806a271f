"""``./ws quarantine list`` and ``show``: the newest records, counts by reason, one record whole."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.contracts.model import Contract
from watershed.contracts.reasons import Reason
from watershed.operations.replay import absent
from watershed.settings import Settings
from watershed.speed import progress, time_index
from watershed.speed.time_index import BlockOffsets, RecordCommit
from watershed.stores import cassandra, postgres, quarantine, replays
from watershed.stores.postgres import transaction
from watershed.stores.quarantine import QuarantinedRecord, Rejected
from watershed.stores.record_id import RecordId
from watershed.stores.replays import Replay

COUNTED_MAX = 100_000


@dataclass(frozen=True)
class ListedRecord:
    """One quarantined record of a list, and its replay if there was one."""

    record: RecordId
    rejected: Rejected
    replay: Replay | None


@dataclass(frozen=True)
class Listing:
    """The newest records, and how many there are by reason among those that arrived since then.

    ``whole`` is False when there are more than COUNTED_MAX, of which the newest are counted.
    """

    since: datetime
    records: list[ListedRecord]
    counts: dict[str, int]
    whole: bool


@dataclass(frozen=True)
class ShownRecord:
    """One quarantined record whole; ``commit`` is None where the time index has forgotten it."""

    record: RecordId
    content: QuarantinedRecord
    commit: RecordCommit | None
    replay: Replay | None


def listing(
    settings: Settings,
    contracts: Iterable[Contract],
    since: datetime | None,
    reason: Reason | None,
    limit: int,
    now: datetime,
) -> Listing:
    """The ``limit`` newest records of these contracts, with ``reason`` if one is given.

    Without ``since``, from where the first may be. Keeps no more in memory than it returns.
    """
    contracts = list(contracts)
    longest = max((one.retention.quarantine_ttl_days for one in contracts), default=0)
    kept = now - timedelta(days=longest)
    begin = max(since, kept) if since else kept
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        newest_first = heapq.merge(
            *(_newest(connection, session, contract, begin) for contract in contracts),
            key=lambda pair: pair[1].arrival_time,
            reverse=True,
        )
        listed, counts, whole = tallied(newest_first, reason, limit, COUNTED_MAX)
        with transaction(connection) as cursor:
            records = _with_replays(cursor, listed)
        return Listing(begin, records, dict(counts.most_common()), whole)


def tallied(
    newest: Iterable[tuple[RecordId, Rejected]], reason: Reason | None, limit: int, most: int
) -> tuple[list[tuple[RecordId, Rejected]], Counter[str], bool]:
    """The first ``limit`` with ``reason``, the counts of the first ``most``, whether those are all.

    Reads no more than one beyond ``most``.
    """
    listed: list[tuple[RecordId, Rejected]] = []
    counts: Counter[str] = Counter()
    for number, (record, rejected) in enumerate(newest):
        if number == most:
            return listed, counts, False
        counts[rejected.reason] += 1
        if len(listed) < limit and reason in (None, rejected.reason):
            listed.append((record, rejected))
    return listed, counts, True


def _newest(
    connection: Connection, session: Session, contract: Contract, since: datetime
) -> Iterator[tuple[RecordId, Rejected]]:
    """A contract's records in the current topic, the last arrival first."""
    with transaction(connection) as cursor:
        topic_id = progress.topic_id(cursor, contract.type)
        blocks = time_index.blocks(cursor, contract.type, "quarantined", since)
    current = sorted((b for b in blocks if b.topic_id == topic_id), key=lambda b: b.partition)
    streams = [
        _of_partition(session, list(of_partition), since)
        for _, of_partition in groupby(current, key=lambda block: block.partition)
    ]
    for rejected in heapq.merge(*streams, key=lambda r: r.arrival_time, reverse=True):
        yield RecordId(contract.type, rejected.partition, rejected.offset), rejected


def _of_partition(
    session: Session, blocks: list[BlockOffsets], since: datetime
) -> Iterator[Rejected]:
    """One Kafka partition's, by offset downwards: the last arrival first there, too."""
    return (
        rejected
        for block in blocks
        for rejected in quarantine.newest(session, block.topic_id, block.partition, block.offsets)
        if rejected.arrival_time >= since
    )


def _with_replays(cursor: Cursor, listed: list[tuple[RecordId, Rejected]]) -> list[ListedRecord]:
    done: dict[RecordId, Replay] = {}
    for event_type in {record.type for record, _ in listed}:
        topic_id = progress.topic_id(cursor, event_type) or ""
        records = [record for record, _ in listed if record.type == event_type]
        done |= replays.find(cursor, topic_id, records)
    return [ListedRecord(record, rejected, done.get(record)) for record, rejected in listed]


def shown(settings: Settings, record: RecordId) -> ShownRecord:
    """One record whole. Raises ReplayError when there is none."""
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        with transaction(connection) as cursor:
            topic_id = progress.topic_id(cursor, record.type) or ""
            key = topic_id, record.partition, record.offset
            commit = time_index.commit_of(cursor, record.type, *key)
            replay = replays.find(cursor, topic_id, [record]).get(record)
        content = quarantine.at(session, *key)
    if content is None:
        raise absent(record)
    return ShownRecord(record, content, commit, replay)
