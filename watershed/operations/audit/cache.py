"""The part of the audit that looks at Redis: what it holds is what the stores justify."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Set
from typing import NamedTuple

import redis
from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.operations.audit import cache_content
from watershed.operations.audit.cache_content import Content, Entry
from watershed.operations.audit.check import Check
from watershed.settings import Settings
from watershed.speed import cache, progress

TIMEOUT_S = 20
PAUSE_S = 0.05


class Look(NamedTuple):
    """The cache as it was when it had commit ``have`` or a later one, against the stores as of
    commit ``sequence``; afterwards they were at ``committed``.

    By key, what differs; and what is absent, which may have been evicted.
    """

    expected: Content
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


def check_cache(
    settings: Settings,
    contract: Contract,
    connection: Connection,
    session: Session,
    client: redis.Redis,
) -> Check:
    """Looks again at what differs, until nothing does or no commit came in between.

    The stream commits once or twice a second: to read thousands of entities takes longer than
    that, but few of them are changed meanwhile, and those few are read at once.
    """
    places = client, contract, connection, session, settings.cassandra_keyspace
    first = last = _look(*places, None)
    deadline = time.monotonic() + TIMEOUT_S
    while not is_enough(first, last) and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        last = _look(*places, last.unlike)
    events, positions = len(first.expected.events), len(first.expected.positions)
    looked_at = f"{events:,} events, {positions:,} positions"
    looked_at += f"; {len(last.absent)} keys were evicted, and say so" if last.absent else ""
    return Check.of(contract, "cache", looked_at, faults(first, last))


def _look(
    client: redis.Redis,
    contract: Contract,
    connection: Connection,
    session: Session,
    keyspace: str,
    keys: Set[str] | None,
) -> Look:
    """Compare these keys, or all."""
    entities = None if keys is None else cache_content.entities(contract, keys)
    change = cache.expected(contract, connection, session, keyspace, entities)
    expected = cache_content.content(contract, change)
    if keys is not None:
        expected = expected.only(keys)
    have = cache.cached_sequence(client, contract.type)
    cached_keys = cache_content.all_keys(client, contract) if keys is None else keys
    found = cache_content.cached(client, contract, cached_keys)
    committed = progress.sequence(connection, contract.type)
    connection.rollback()
    differing = miscached(expected, found)
    return Look(expected, change.sequence, have, committed, differing, absent(expected, found))


def is_enough(first: Look, last: Look) -> bool:
    """Whether looking once more would tell nothing new."""
    return last.is_of_one_commit or (
        not last.unlike and first.sequence <= last.have <= last.committed
    )


def faults(first: Look, last: Look) -> list[str]:
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


def absent(expected: Content, found: Content) -> Set[str]:
    """The keys that are not there, or not whole, and say so."""
    positions = expected.positions.keys() - found.positions.keys()
    return (expected.whole - found.whole) | positions


def miscached(expected: Content, found: Content) -> dict[str, list[str]]:
    """Where the cache is not what the stores say, by key. It may miss, where it says so."""
    wrong = defaultdict(list)
    for key, event_id in sorted(expected.events.keys() | found.events.keys()):
        at = key, event_id
        what = _miscached(expected.events.get(at), found.events.get(at))
        if what and key in found.whole:
            wrong[key].append(f"{key}: {event_id} {what}")
    for key in sorted(found.positions):
        right, cached = expected.positions.get(key), found.positions[key]
        if cached != right:
            text = f"{_position_text(cached)}, committed is {_position_text(right)}"
            wrong[key].append(f"{key}: {text}")
    return wrong


def _miscached(expected: Entry | None, found: Entry | None) -> str:
    if expected == found:
        return ""
    if found is None:
        return "is missing"
    if expected is None:
        return "is there, and should not be"
    if found.time_ms != expected.time_ms:
        return f"has the time {found.time_ms}, not {expected.time_ms}"
    return "has another JSON"


def _position_text(position: tuple[str | None, str | None] | None) -> str:
    return "{} in {}".format(*position) if position else "nothing"
