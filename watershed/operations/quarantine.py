"""What the quarantine holds: the newest records of it, counts by reason, one record whole."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.contracts.reasons import Reason
from watershed.operations.replay import absent
from watershed.settings import Settings
from watershed.speed import progress, time_index
from watershed.speed.time_index import Batch, Span
from watershed.stores import cassandra, postgres, quarantine, replays
from watershed.stores.quarantine import Record, Rejected
from watershed.stores.record_id import Place
from watershed.stores.replays import Replay

COUNTED_MAX = 100_000


@dataclass(frozen=True)
class Entry:
    """One quarantined record of a list, and its replay if there was one."""

    place: Place
    rejected: Rejected
    replay: Replay | None


@dataclass(frozen=True)
class Listing:
    """The newest records, and how many there are by reason among those that arrived since then.

    ``whole`` is False when there are more than COUNTED_MAX, of which the newest are counted.
    """

    since: datetime
    records: list[Entry]
    counts: dict[str, int]
    whole: bool


@dataclass(frozen=True)
class Shown:
    """One quarantined record whole; ``batch`` is None where the time index has forgotten it."""

    place: Place
    record: Record
    batch: Batch | None
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
        passing = heapq.merge(
            *(
                _newest(connection, session, settings.cassandra_keyspace, one, begin)
                for one in contracts
            ),
            key=lambda found: found[1].arrival_time,
            reverse=True,
        )
        listed, counts, whole = tallied(passing, reason, limit, COUNTED_MAX)
        return Listing(begin, _entries(connection, listed), dict(counts.most_common()), whole)


def tallied(
    newest: Iterable[tuple[Place, Rejected]], reason: Reason | None, limit: int, most: int
) -> tuple[list[tuple[Place, Rejected]], Counter[str], bool]:
    """The first ``limit`` with ``reason``, the counts of the first ``most``, whether those are all.

    Reads no more than one beyond ``most``.
    """
    listed: list[tuple[Place, Rejected]] = []
    counts: Counter[str] = Counter()
    for number, (place, rejected) in enumerate(newest):
        if number == most:
            return listed, counts, False
        counts[rejected.reason] += 1
        if len(listed) < limit and reason in (None, rejected.reason):
            listed.append((place, rejected))
    return listed, counts, True


def _newest(
    connection: Connection,
    session: Session,
    keyspace: str,
    contract: Contract,
    since: datetime,
) -> Iterator[tuple[Place, Rejected]]:
    """A contract's records in the current topic, the last arrival first."""
    topic_id = progress.topic_id(connection, contract.type)
    spans = time_index.spans(connection, contract.type, "quarantined", since)
    connection.rollback()
    current = sorted((s for s in spans if s.topic_id == topic_id), key=lambda s: s.partition)
    streams = [
        _partition(session, keyspace, list(one), since)
        for _, one in groupby(current, key=lambda span: span.partition)
    ]
    for one in heapq.merge(*streams, key=lambda found: found.arrival_time, reverse=True):
        yield Place(contract.type, one.partition, one.offset), one


def _partition(
    session: Session, keyspace: str, spans: list[Span], since: datetime
) -> Iterator[Rejected]:
    """One Kafka partition's, by offset downwards: the last arrival first there, too."""
    return (
        one
        for span in spans
        for one in quarantine.newest(session, keyspace, span.topic_id, span.partition, span.offsets)
        if one.arrival_time >= since
    )


def _entries(connection: Connection, listed: list[tuple[Place, Rejected]]) -> list[Entry]:
    done: dict[Place, Replay] = {}
    for event_type in {place.type for place, _ in listed}:
        topic_id = progress.topic_id(connection, event_type) or ""
        places = [place for place, _ in listed if place.type == event_type]
        done |= replays.find(connection, topic_id, places)
    return [Entry(place, rejected, done.get(place)) for place, rejected in listed]


def shown(settings: Settings, place: Place) -> Shown:
    """One record whole. Raises ReplayError when there is none."""
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        topic_id = progress.topic_id(connection, place.type) or ""
        key = topic_id, place.partition, place.offset
        record = quarantine.at(session, settings.cassandra_keyspace, *key)
        if record is None:
            raise absent(place)
        batch = time_index.holding(connection, place.type, *key)
        done = replays.find(connection, topic_id, [place])
        return Shown(place, record, batch, done.get(place))
