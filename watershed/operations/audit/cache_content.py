"""A contract's cache, as it is and as it should be: what an audit compares."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import NamedTuple

import redis

from watershed.contracts.model import Contract
from watershed.speed.cache import COMPLETE, Change, events_key, list_key, position_key
from watershed.timestamps import milliseconds


class CachedEvent(NamedTuple):
    """A cached event: its time (ms) and its JSON; None for a half that is missing."""

    time_ms: float | None
    event: str | None


@dataclass(frozen=True)
class CacheContent:
    """A contract's cache, all of it or some keys.

    An event by its list's key and its id; a position's value and count, as text, by its key.
    ``whole`` has the keys of the lists that say they are.
    """

    events: dict[tuple[str, str], CachedEvent]
    positions: dict[str, tuple[str | None, str | None]]
    whole: frozenset[str]

    def only(self, keys: Set[str]) -> CacheContent:
        """What of it is in these keys."""
        return CacheContent(
            {at: entry for at, entry in self.events.items() if at[0] in keys},
            {key: position for key, position in self.positions.items() if key in keys},
            self.whole & keys,
        )


def content(contract: Contract, change: Change) -> CacheContent:
    """The cache that holds what ``change`` has, and nothing else."""
    return CacheContent(
        {
            (list_key(contract.type, entity), event_id): CachedEvent(
                milliseconds(event_time), event
            )
            for entity, event_time, event_id, event in change.events
        },
        {
            position_key(contract.type, position.groups): (
                str(position.value),
                str(position.events),
            )
            for position in change.positions
        },
        frozenset(list_key(contract.type, event.entity) for event in change.events),
    )


def all_keys(client: redis.Redis, contract: Contract) -> set[str]:
    """The keys of lists and positions that the cache has anything of."""
    prefix = events_key(contract.type, "")
    hashes = client.scan_iter(f"{prefix}*", _type="hash")
    return {
        *client.scan_iter(list_key(contract.type, "*"), _type="zset"),
        *(list_key(contract.type, key.removeprefix(prefix)) for key in hashes),
        *client.scan_iter(position_key(contract.type, ("*",)), _type="hash"),
    }


def entities(contract: Contract, keys: Set[str]) -> list[str]:
    """Those whose lists are among these keys."""
    prefix = list_key(contract.type, "")
    return [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]


def cached(client: redis.Redis, contract: Contract, keys: Set[str]) -> CacheContent:
    """What the cache holds of these keys; of one commit only if none comes meanwhile."""
    lists = {
        list_key(contract.type, entity): events_key(contract.type, entity)
        for entity in entities(contract, keys)
    }
    rest = keys - lists.keys()
    pipeline = client.pipeline(transaction=False)
    for key, of_events in lists.items():
        pipeline.zrange(key, 0, -1, withscores=True)
        pipeline.hgetall(of_events)
    for key in rest:
        pipeline.hgetall(key)
    found = iter(pipeline.execute())
    events, whole = {}, set()
    for key in lists:
        scores, values = dict(next(found)), next(found)
        values.pop("sequence", None)
        if values.pop(COMPLETE, None) == str(len(scores)):
            whole.add(key)
        for event_id in scores.keys() | values.keys():
            events[key, event_id] = CachedEvent(scores.get(event_id), values.get(event_id))
    positions = {key: values for key in rest if (values := next(found))}
    return CacheContent(
        events,
        {
            key: (position.get("value"), position.get("event_count"))
            for key, position in positions.items()
        },
        frozenset(whole),
    )
