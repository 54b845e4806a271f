"""Where is this one event? Its every occurrence in every store, with its times.

Raw store and quarantine are searched where the time index says that records arrived since then;
the other stores are asked by key for what the raw row says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import redis
from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection
from redis.exceptions import RedisError

from watershed.contracts.model import Contract
from watershed.operations.search import Found, Search, Watch
from watershed.settings import Settings
from watershed.speed import cache, flow, progress, time_index
from watershed.speed.flow import Sum
from watershed.speed.time_index import Batch, Span
from watershed.stores import cassandra, postgres, replays
from watershed.stores.quarantine import Rejected
from watershed.stores.record_id import Place
from watershed.stores.replays import Replay
from watershed.stores.topics import TopicState, topic_state
from watershed.timestamps import EPOCH, floored

HOUR_S = 3_600


@dataclass(frozen=True)
class Cached:
    """Whether the event is in its entity's list, and the last commit that the cache has."""

    listed: bool
    sequence: int


@dataclass(frozen=True)
class Critical:
    """The row in ``critical_<type>``. ``cached`` is None when Redis is away."""

    entity: str
    bucket: datetime
    cached: Cached | None


@dataclass(frozen=True)
class Stored:
    """The raw row, the sum that it is counted in, and its critical row if it is critical."""

    written_at: datetime
    fields: dict[str, Any]
    counted_in: Sum | None
    critical: Critical | None


@dataclass(frozen=True)
class Occurrence:
    """One record with the event's id: ``stored`` as a valid event, or else ``rejected``.

    ``in_kafka`` says whether Kafka still has it; ``batch`` is the commit that it came in with.
    """

    place: Place
    topic_id: str
    kafka_time: datetime
    arrival_time: datetime
    in_kafka: bool
    batch: Batch | None
    stored: Stored | None
    rejected: Rejected | None
    replay: Replay | None


@dataclass(frozen=True)
class Searched:
    """What was looked through of one contract: records that arrived in this time, if any did.

    ``not_stored_yet`` counts what Kafka has beyond the commit.
    """

    arrived_from: datetime | None
    arrived_to: datetime | None
    not_stored_yet: int


@dataclass(frozen=True)
class Trace:
    """Every occurrence that arrived from ``since`` on, in order of arrival; by contract, where."""

    event_id: str
    since: datetime
    occurrences: list[Occurrence] = field(default_factory=list)
    searched: dict[str, Searched] = field(default_factory=dict)


class _Stores(NamedTuple):
    settings: Settings
    connection: Connection
    session: Session
    client: redis.Redis


def trace(
    settings: Settings, contracts: Iterable[Contract], event_id: str, since: datetime, watch: Watch
) -> Trace:
    """Look for an event id in these contracts. Raises one of UNAVAILABLE, or StoreError."""
    found = Trace(event_id, since)
    with (
        postgres.connect(settings) as connection,
        cassandra.connect(settings) as session,
        cache.connect(settings) as client,
    ):
        stores = _Stores(settings, connection, session, client)
        for contract in contracts:
            _look(stores, contract, found, watch)
    found.occurrences.sort(key=lambda one: (one.arrival_time, one.place))
    return found


def _look(stores: _Stores, contract: Contract, found: Trace, watch: Watch) -> None:
    """Add one contract's occurrences, and what was looked through."""
    connection, keyspace = stores.connection, stores.settings.cassandra_keyspace
    behind = _committed(connection, contract)
    stored = time_index.spans(connection, contract.type, "stored", found.since)
    rejected = time_index.spans(connection, contract.type, "quarantined", found.since)
    connection.rollback()
    topic = topic_state(stores.settings, contract.topic.name)
    search = Search(stores.session, keyspace, contract, found.event_id)
    for one in search.run(stored, rejected, watch):
        found.occurrences.append(_occurrence(stores, contract, topic, one))
    waiting = sum(topic.end[p] - offset for p, offset in behind.items() if p in topic.end)
    found.searched[contract.type] = searched([*stored, *rejected], waiting)


def _committed(connection: Connection, contract: Contract) -> dict[int, int]:
    """The next offset of each partition."""
    topic_id = progress.topic_id(connection, contract.type) or ""
    partitions = progress.progress(connection, contract.type, topic_id)
    return {partition: state.next for partition, state in partitions.items()}


def searched(spans: list[Span], not_stored_yet: int) -> Searched:
    """What a search of these spans has looked through."""
    return Searched(
        min((span.arrived_from for span in spans), default=None),
        max((span.arrived_to for span in spans), default=None),
        not_stored_yet,
    )


def _occurrence(stores: _Stores, contract: Contract, topic: TopicState, one: Found) -> Occurrence:
    connection = stores.connection
    place = Place(contract.type, one.partition, one.offset)
    kept = topic.begin.get(one.partition, 0), topic.end.get(one.partition, 0)
    key = one.topic_id, one.partition, one.offset
    occurrence = Occurrence(
        place,
        one.topic_id,
        one.kafka_time,
        one.arrival_time,
        topic.topic_id == one.topic_id and kept[0] <= one.offset < kept[1],
        time_index.holding(connection, contract.type, *key),
        None if one.rejected else _stored(stores, contract, one),
        one.rejected,
        replays.find(connection, one.topic_id, [place]).get(place),
    )
    connection.rollback()
    return occurrence


def _stored(stores: _Stores, contract: Contract, one: Found) -> Stored:
    window = floored(one.arrival_time, contract.flow.window_s)
    groups = tuple(one.fields[name] for name in contract.flow.group_by.values())
    return Stored(
        one.written_at or EPOCH,
        one.fields,
        flow.sum_of(stores.connection, contract, window, groups),
        _critical(stores, contract, one),
    )


def _critical(stores: _Stores, contract: Contract, one: Found) -> Critical | None:
    """The event's critical row. Found by a part of the key, it is told by its place."""
    fields, keyspace = one.fields, stores.settings.cassandra_keyspace
    entity, event_id = str(fields[contract.entity]), str(fields[contract.event_id])
    event_time = fields[contract.event_time]
    bucket = floored(event_time, contract.critical.bucket_hours * HOUR_S)
    rows = stores.session.execute(
        f"SELECT topic_id, kafka_partition, kafka_offset FROM {keyspace}.critical_{contract.type}"
        " WHERE entity = %s AND bucket = %s AND event_time = %s AND event_id = %s",
        (entity, bucket, event_time, event_id),
    )
    if one[:3] not in set(map(tuple, rows)):
        return None
    return Critical(entity, bucket, _cached(stores.client, contract, entity, event_id))


def _cached(client: redis.Redis, contract: Contract, entity: str, event_id: str) -> Cached | None:
    try:
        score = client.zscore(cache.list_key(contract.type, entity), event_id)
        return Cached(score is not None, cache.cached_sequence(client, contract.type))
    except RedisError:
        return None  # shown as "away": the stream does not need it
