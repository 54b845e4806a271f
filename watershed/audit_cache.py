"""The part of the audit that looks at Redis: what it holds is what the stores justify."""

from __future__ import annotations

import time

import redis
from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection

from watershed.check import Check
from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.stores import cache, cache_content, control
from watershed.stores.cache_content import Content, Entry

TIMEOUT_S = 20


def check_cache(
    settings: Settings,
    contract: Contract,
    connection: Connection,
    session: Session,
    client: redis.Redis,
) -> Check:
    """Compares as soon as no commit comes in between: the stream makes one or two a second."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        change = cache.expected(contract, connection, session, settings.cassandra_keyspace)
        found = cache_content.cached(client, contract)
        committed = control.sequence(connection, contract.type)
        connection.rollback()
        have = cache.cached_sequence(client, contract.type)
        if have == committed == change.sequence:
            expected = cache_content.content(contract, change)
            looked_at = f"{len(expected.events):,} events, {len(expected.positions):,} positions"
            missed = len(expected.whole - found.whole)
            missed += len(expected.positions.keys() - found.positions.keys())
            looked_at += f"; {missed} keys were evicted, and say so" if missed else ""
            return Check.of(contract, "cache", looked_at, miscached(expected, found))
        if time.monotonic() > deadline:
            fault = f"cache is {committed - have:,} commits behind ({have:,} of {committed:,})"
            if have == committed:
                fault = f"not compared: each time a commit came in between, at last {committed:,}"
            return Check.of(contract, "cache", f"the last {TIMEOUT_S} s", [fault])


def miscached(expected: Content, found: Content) -> list[str]:
    """Where the cache is not what the stores say. It may miss, where it says so."""
    faults = [
        f"{at[0]}: {at[1]} {what}"
        for at in sorted(expected.events.keys() | found.events.keys())
        if at[0] in found.whole
        and (what := _miscached(expected.events.get(at), found.events.get(at)))
    ]
    for key in sorted(found.positions):
        right, cached = expected.positions.get(key), found.positions[key]
        if cached != right:
            faults.append(f"{key}: {_position_text(cached)}, committed is {_position_text(right)}")
    return faults


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
