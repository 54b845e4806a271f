"""The cache in Redis: the newest critical events of each entity, and the positions.

    critical:<type>:<entity>         sorted set: event id by event time (ms)
    critical_events:<type>:<entity>  hash: event id -> the event's JSON; `complete`, `sequence`
    position:<type>:<group>          hash: value, event_count, sequence
    cache:<type>                     the number of the last commit that is in the cache

Every key expires. The stores are the truth: what is missing here is made again from them. A
server may evict a list, or one of its two keys, and the next commit then begins it anew: so a list
is whole only if `complete` in its hash is the size of its sorted set, and only what was read from
the stores makes it whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from redis import Redis

from watershed.contracts.model import Contract
from watershed.speed import critical, flow, progress
from watershed.speed.cache_scripts import ADD_EVENTS, ADVANCE, CLEAR_IF, SET_POSITION
from watershed.speed.critical import CriticalEvent
from watershed.speed.flow import GroupPosition
from watershed.stores.clients import Clients
from watershed.stores.postgres import snapshot, transaction
from watershed.timestamps import milliseconds

COMPLETE = "complete"


@dataclass(frozen=True)
class Change:
    """What one commit changes in the cache."""

    sequence: int
    positions: list[GroupPosition]
    events: list[CriticalEvent]


def list_key(event_type: str, entity: str) -> str:
    return f"critical:{event_type}:{entity}"


def events_key(event_type: str, entity: str) -> str:
    return f"critical_events:{event_type}:{entity}"


def position_key(event_type: str, groups: tuple[Any, ...]) -> str:
    return ":".join(["position", event_type, *map(str, groups)])


def sequence_key(event_type: str) -> str:
    return f"cache:{event_type}"


def cached_sequence(client: Redis, event_type: str) -> int:
    """The last commit that the cache has; 0 when it is empty."""
    found = client.get(sequence_key(event_type))
    return int(found) if found else 0


def apply(
    client: Redis,
    contract: Contract,
    ttl_s: int,
    change: Change,
    make_whole: Callable[[list[str]], None],
) -> bool:
    """Add one commit to a cache that has the one before it.

    False when it has not: then it must be rebuilt. ``make_whole`` is called with entities whose
    lists are not: new ones, and ones that the server evicted. Every reply is checked: a command
    that failed raises RedisError, and the cache keeps its older number.
    """
    if cached_sequence(client, contract.type) != change.sequence - 1:
        return False
    if broken := write(client, contract, ttl_s, change, "added"):
        make_whole(broken)
    return _advance(client, contract, ttl_s, change.sequence, "next")


def make_lists_whole(clients: Clients, contract: Contract, ttl_s: int, entities: list[str]) -> None:
    """Make the lists of these entities again, from the stores."""
    change = expected(clients, contract, entities)
    write(clients.redis, contract, ttl_s, change, "rebuilt")


def rebuild(clients: Clients, contract: Contract, ttl_s: int) -> int:
    """Make the cache again from the stores as of one commit; that commit's number."""
    change = expected(clients, contract)
    have = cached_sequence(clients.redis, contract.type)
    with transaction(clients.postgres) as cursor:
        is_ahead = have > progress.sequence(cursor, contract.type)
    # PostgreSQL was restored from an older copy: so shall the cache. A writer that slept since it
    # read `change` sees the newer commits here, and takes nothing away.
    if is_ahead and clients.redis.eval(CLEAR_IF, 1, sequence_key(contract.type), have):
        clear(clients.redis, contract)
    write(clients.redis, contract, ttl_s, change, "rebuilt")
    _advance(clients.redis, contract, ttl_s, change.sequence, "rebuilt")
    return change.sequence


def expected(clients: Clients, contract: Contract, entities: Iterable[str] | None = None) -> Change:
    """What the cache should hold as of the last commit, of some entities or of all."""
    with snapshot(clients.postgres) as cursor:
        sequence = progress.sequence(cursor, contract.type)
        positions = flow.positions(cursor, contract)
        partitions = progress.read_all(cursor, contract.type)
    if entities is None:
        entities = critical.entities(clients.cassandra, contract)
    committed = {partition: state.next for partition, state in partitions.items()}
    events = [
        event
        for entity in entities
        for event in critical.newest(clients.cassandra, contract, entity, committed)
    ]
    return Change(sequence, positions, events)


def is_complete(client: Redis, event_type: str, entity: str) -> bool:
    """Whether an entity's list is whole: as new as the number says, with nothing evicted."""
    pipeline = client.pipeline(transaction=True)
    pipeline.exists(sequence_key(event_type))
    pipeline.hget(events_key(event_type, entity), COMPLETE)
    pipeline.zcard(list_key(event_type, entity))
    numbered, complete, size = pipeline.execute()
    return bool(numbered) and complete is not None and int(complete) == size


def write(client: Redis, contract: Contract, ttl_s: int, change: Change, how: str) -> list[str]:
    """Write a change, ``added`` or ``rebuilt``; the entities whose lists are not whole."""
    pipeline = client.pipeline(transaction=False)
    lists = _by_entity(change.events)
    for entity, events in lists.items():
        keys = [of(contract.type, entity) for of in (list_key, events_key)]
        head: list[int | str] = [contract.critical.keep, ttl_s, how, change.sequence]
        arguments: list[int | str] = [part for event in events for part in _arguments(event)]
        number = sequence_key(contract.type)
        pipeline.eval(ADD_EVENTS, 3, *keys, number, *head, *arguments)
    for position in change.positions:
        values: list[int | str] = [change.sequence, str(position.value), position.events, ttl_s]
        pipeline.eval(SET_POSITION, 1, position_key(contract.type, position.groups), *values)
    replies = pipeline.execute()
    return [entity for entity, whole in zip(lists, replies, strict=False) if not whole]


def clear(client: Redis, contract: Contract) -> None:
    """Take away all that the cache has of a contract, its number first."""
    client.delete(sequence_key(contract.type))
    patterns = list_key, events_key, lambda name, group: position_key(name, (group,))
    for pattern in patterns:
        for key in client.scan_iter(pattern(contract.type, "*")):
            client.delete(key)


def _advance(client: Redis, contract: Contract, ttl_s: int, sequence: int, how: str) -> bool:
    before = sequence - 1 if sequence > 1 else ""
    arguments: list[int | str] = [sequence, ttl_s, how, before]
    return bool(client.eval(ADVANCE, 1, sequence_key(contract.type), *arguments))


def _by_entity(events: Iterable[CriticalEvent]) -> dict[str, list[CriticalEvent]]:
    found: dict[str, list[CriticalEvent]] = defaultdict(list)
    for event in events:
        found[event.entity].append(event)
    return found


def _arguments(event: CriticalEvent) -> tuple[int, str, str]:
    return (milliseconds(event.event_time), event.event_id, event.event)
