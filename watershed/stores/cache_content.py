"""A contract's whole cache, as it is and as it should be: what an audit compares."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import redis

from watershed.contracts.model import Contract
from watershed.stores.cache import (
    COMPLETE,
    Change,
    events_key,
    list_key,
    milliseconds,
    position_key,
)


class Entry(NamedTuple):
    """A cached event: its time (ms) and its JSON; None for a half that is missing."""

    time_ms: float | None
    event: str | None


@dataclass(frozen=True)
class Content:
    """A contract's whole cache.

    An event by its list's key and its id; a position's value and count, as text, by its key.
    ``whole`` has the keys of the lists that say they are.
    """

    events: dict[tuple[str, str], Entry]
    positions: dict[str, tuple[str | None, str | None]]
    whole: frozenset[str]


def content(contract: Contract, change: Change) -> Content:
    """The cache that holds what ``change`` has, and nothing else."""
    return Content(
        {
            (list_key(contract.type, entity), event_id): Entry(milliseconds(event_time), event)
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


def cached(client: redis.Redis, contract: Contract) -> Content:
    """What the cache holds: as of one moment only if its number stays the same meanwhile."""
    lists = sorted(client.scan_iter(list_key(contract.type, "*"), _type="zset"))
    hashes = sorted(client.scan_iter(events_key(contract.type, "*"), _type="hash"))
    positions = sorted(client.scan_iter(position_key(contract.type, ("*",)), _type="hash"))
    pipeline = client.pipeline(transaction=False)
    for key in lists:
        pipeline.zrange(key, 0, -1, withscores=True)
    for key in hashes:
        pipeline.hgetall(key)
    for key in positions:
        pipeline.hmget(key, ["value", "event_count"])
    found = iter(pipeline.execute())
    events = {(key, member): Entry(score, None) for key in lists for member, score in next(found)}
    sizes = Counter(key for key, _ in events)
    prefix, whole = events_key(contract.type, ""), set()
    for key in hashes:
        values, of = next(found), list_key(contract.type, key.removeprefix(prefix))
        values.pop("sequence", None)
        if values.pop(COMPLETE, None) == str(sizes[of]):
            whole.add(of)
        for event_id, event in values.items():
            at = of, event_id
            events[at] = Entry(events[at].time_ms if at in events else None, event)
    return Content(events, {key: tuple(next(found)) for key in positions}, frozenset(whole))
