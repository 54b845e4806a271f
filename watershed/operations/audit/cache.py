"""The audit of the cache: what Redis holds is what the stores justify."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Set
from typing import NamedTuple

from watershed.contracts.model import Contract
from watershed.operations.audit import cache_content
from watershed.operations.audit.cache_content import CacheContent, CachedEvent
from watershed.operations.audit.check import AuditCheck
from watershed.speed import cache, progress
from watershed.stores.clients import Clients
from watershed.stores.postgres import transaction

TIMEOUT_S = 20
PAUSE_S = 0.05


class CacheComparison(NamedTuple):
    """The cache as it was when it had commit ``have`` or a later one, against the stores as of
    commit ``sequence``; afterwards they were at ``committed``.

    By key, what differs; and what is absent, which may have been evicted.
    """

    expected: CacheContent
    sequence: int
    have: int
    committed: int
    differing: dict[str, list[str]]
    absent: Set[str]

    @property
    def is_of_one_commit(self) -> bool:
        return self.have == self.committed == self.sequence

    @property
    def unlike(self) -> Set[str]:
        return self.differing.keys() | self.absent


def check_cache(clients: Clients, contract: Contract) -> AuditCheck:
    """Compare again what differs, until nothing does or no commit came in between.

    The stream commits once or twice a second: to read thousands of entities takes longer than
    that, but few of them are changed meanwhile, and those few are read at once.
    """
    first = last = _compare(clients, contract, None)
    deadline = time.monotonic() + TIMEOUT_S
    while not is_enough(first, last) and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        last = _compare(clients, contract, last.unlike)
    events, positions = len(first.expected.events), len(first.expected.positions)
    looked_at = f"{events:,} events, {positions:,} positions"
    looked_at += f"; {len(last.absent)} keys were evicted, and say so" if last.absent else ""
    return AuditCheck.of(contract, "cache", looked_at, faults(first, last))


def _compare(clients: Clients, contract: Contract, keys: Set[str] | None) -> CacheComparison:
    """Compare these keys, or all."""
    entities = None if keys is None else cache_content.entities(contract, keys)
    change = cache.expected(clients, contract, entities)
    expected = cache_content.content(contract, change)
    if keys is not None:
        expected = expected.only(keys)
    have = cache.cached_sequence(clients.redis, contract.type)
    cached_keys = cache_content.all_keys(clients.redis, contract) if keys is None else keys
    cached = cache_content.cached(clients.redis, contract, cached_keys)
    with transaction(clients.postgres) as cursor:
        committed = progress.sequence(cursor, contract.type)
    differing, missing = miscached(expected, cached), absent(expected, cached)
    return CacheComparison(expected, change.sequence, have, committed, differing, missing)


def is_enough(first: CacheComparison, last: CacheComparison) -> bool:
    """Whether comparing once more would tell nothing new."""
    return last.is_of_one_commit or (
        not last.unlike and first.sequence <= last.have <= last.committed
    )


def faults(first: CacheComparison, last: CacheComparison) -> list[str]:
    """What is wrong, after a remark when it may come of commits in between."""
    differing = [fault for key in sorted(last.differing) for fault in last.differing[key]]
    behind = last.committed - last.have
    numbers = f"it has {last.have:,}, committed is {last.committed:,}"
    if behind < 0:
        return [f"cache is {-behind:,} commits ahead: {numbers}", *differing]
    if behind and (differing or last.have < first.sequence):
        return [f"cache is {behind:,} commits behind: {numbers}", *differing]
    if differing and not last.is_of_one_commit:
        return [f"for {TIMEOUT_S} s commits came in between, {numbers}", *differing]
    return differing


def absent(expected: CacheContent, cached: CacheContent) -> Set[str]:
    """The keys that are not there, or not whole, and say so."""
    positions = expected.positions.keys() - cached.positions.keys()
    return (expected.whole - cached.whole) | positions


def miscached(expected: CacheContent, cached: CacheContent) -> dict[str, list[str]]:
    """Where the cache is not what the stores say, by key. It may miss, where it says so."""
    wrong = defaultdict(list)
    for key, event_id in sorted(expected.events.keys() | cached.events.keys()):
        at = key, event_id
        what = _miscached(expected.events.get(at), cached.events.get(at))
        if what and key in cached.whole:
            wrong[key].append(f"{key}: {event_id} {what}")
    for key in sorted(cached.positions):
        right, has = expected.positions.get(key), cached.positions[key]
        if has != right:
            text = f"{_position_text(has)}, committed is {_position_text(right)}"
            wrong[key].append(f"{key}: {text}")
    return wrong


def _miscached(expected: CachedEvent | None, cached: CachedEvent | None) -> str:
    if expected == cached:
        return ""
    if cached is None:
        return "is missing"
    if expected is None:
        return "is there, and should not be"
    if cached.time_ms != expected.time_ms:
        return f"has the time {cached.time_ms}, not {expected.time_ms}"
    return "has another JSON"


def _position_text(position: tuple[str | None, str | None] | None) -> str:
    return "{} in {}".format(*position) if position else "nothing"
