"""``./ws trace``: one event's every occurrence in every store, with its times.

Raw store and quarantine are searched where the time index says that records arrived since then;
the other stores are asked by key for what the raw row says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg2.extensions import cursor as Cursor
from redis import Redis
from redis.exceptions import RedisError

from watershed.contracts.model import Contract
from watershed.operations.search import FoundRecord, Search, Watch
from watershed.settings import Settings
from watershed.speed import cache, flow, progress, time_index
from watershed.speed.flow import Sum
from watershed.speed.time_index import BlockOffsets, RecordCommit
from watershed.stores import replays
from watershed.stores.clients import Clients, open_clients
from watershed.stores.postgres import transaction
from watershed.stores.quarantine import Rejected
from watershed.stores.record_id import RecordId
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
class CriticalRow:
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
    critical: CriticalRow | None


@dataclass(frozen=True)
class Occurrence:
    """One record with the event's id: ``stored`` as a valid event, or else ``rejected``.

    ``in_kafka`` says whether Kafka still has it; ``commit`` is the one that it came in with.
    """

    record: RecordId
    topic_id: str
    kafka_time: datetime
    arrival_time: datetime
    in_kafka: bool
    commit: RecordCommit | None
    stored: Stored | None
    rejected: Rejected | None
    replay: Replay | None


@dataclass(frozen=True)
class Searched:
    """What was searched of one contract: records that arrived in this time, if any did.

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


def trace(
    settings: Settings, contracts: Iterable[Contract], event_id: str, since: datetime, watch: Watch
) -> Trace:
    """Search an event id in these contracts. Raises one of UNAVAILABLE, or StoreError."""
    found = Trace(event_id, since)
    with open_clients(settings) as clients:
        for contract in contracts:
            _search(clients, contract, found, watch)
    found.occurrences.sort(key=lambda each: (each.arrival_time, each.record))
    return found


def _search(clients: Clients, contract: Contract, found: Trace, watch: Watch) -> None:
    """Add one contract's occurrences, and what was searched."""
    with transaction(clients.postgres) as cursor:
        committed = progress.read_current(cursor, contract.type)
        stored = time_index.blocks(cursor, contract.type, "stored", found.since)
        rejected = time_index.blocks(cursor, contract.type, "quarantined", found.since)
    topic = topic_state(clients.settings, contract.topic.name)
    search = Search(clients.cassandra, contract, found.event_id)
    for record in search.run(stored, rejected, watch):
        found.occurrences.append(_occurrence(clients, contract, topic, record))
    waiting = sum(topic.end[p] - at.next for p, at in committed.items() if p in topic.end)
    found.searched[contract.type] = searched([*stored, *rejected], waiting)


def searched(blocks: list[BlockOffsets], not_stored_yet: int) -> Searched:
    """What a search of these offsets has covered."""
    return Searched(
        min((block.arrived_from for block in blocks), default=None),
        max((block.arrived_to for block in blocks), default=None),
        not_stored_yet,
    )


def _occurrence(
    clients: Clients, contract: Contract, topic: TopicState, found: FoundRecord
) -> Occurrence:
    record = RecordId(contract.type, found.partition, found.offset)
    begin, end = topic.begin.get(found.partition, 0), topic.end.get(found.partition, 0)
    key = found.topic_id, found.partition, found.offset
    with transaction(clients.postgres) as cursor:
        return Occurrence(
            record,
            found.topic_id,
            found.kafka_time,
            found.arrival_time,
            topic.topic_id == found.topic_id and begin <= found.offset < end,
            time_index.commit_of(cursor, contract.type, *key),
            None if found.rejected else _stored(clients, cursor, contract, found),
            found.rejected,
            replays.find(cursor, found.topic_id, [record]).get(record),
        )


def _stored(clients: Clients, cursor: Cursor, contract: Contract, found: FoundRecord) -> Stored:
    window = floored(found.arrival_time, contract.flow.window_s)
    groups = tuple(found.fields[name] for name in contract.flow.group_by.values())
    return Stored(
        found.written_at or EPOCH,
        found.fields,
        flow.sum_of(cursor, contract, window, groups),
        _critical(clients, contract, found),
    )


def _critical(clients: Clients, contract: Contract, found: FoundRecord) -> CriticalRow | None:
    """The event's critical row. Found by a part of the key, it is told by its record."""
    entity = str(found.fields[contract.entity])
    event_id = str(found.fields[contract.event_id])
    event_time = found.fields[contract.event_time]
    bucket = floored(event_time, contract.critical.bucket_hours * HOUR_S)
    rows = clients.cassandra.execute(
        f"SELECT topic_id, kafka_partition, kafka_offset FROM critical_{contract.type}"
        " WHERE entity = %s AND bucket = %s AND event_time = %s AND event_id = %s",
        (entity, bucket, event_time, event_id),
    )
    if found[:3] not in set(map(tuple, rows)):
        return None
    return CriticalRow(entity, bucket, _cached(clients.redis, contract, entity, event_id))


def _cached(client: Redis, contract: Contract, entity: str, event_id: str) -> Cached | None:
    try:
        score = client.zscore(cache.list_key(contract.type, entity), event_id)
        return Cached(score is not None, cache.cached_sequence(client, contract.type))
    except RedisError:
        return None  # shown as "away": the stream does not need it
