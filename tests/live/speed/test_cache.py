"""The cache under a server that is emptied, evicts or is full: it misses, and never lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from tests.support.progress import commits, is_cached
from tests.support.stack import Stack, wait_until
from watershed.contracts.model import Contract
from watershed.operations.audit.cache import check_cache
from watershed.speed import cache
from watershed.stores.clients import Clients, open_clients
from watershed.stores.redis import connect

EVENTS = ("--rate", "0", "--count", "2000")


@pytest.fixture
def client(stack: Stack) -> Iterator[redis.Redis]:
    with connect(stack.settings) as connected:
        yield connected


@contextmanager
def memory_limit(client: redis.Redis, policy: str) -> Iterator[None]:
    """A server with less memory than it uses."""
    kept = client.config_get("maxmemory*")
    client.config_set("maxmemory-policy", policy)
    client.config_set("maxmemory", "600000")
    try:
        yield
    finally:
        client.config_set("maxmemory", kept["maxmemory"])
        client.config_set("maxmemory-policy", kept["maxmemory-policy"])


def test_an_emptied_cache_is_made_again_from_the_stores(
    stack: Stack, client, produce, verify
) -> None:
    produce(*EVENTS).wait(60)
    verify()
    client.flushall()
    wait_until(lambda: cache.cached_sequence(client, "transaction") > 0, "the cache is rebuilt")
    verify()


@pytest.mark.parametrize("lost", [cache.list_key, cache.events_key])
def test_a_list_of_which_one_key_was_evicted_says_so_and_is_made_again(
    lost: Callable[[str, str], str], stack: Stack, client, produce, verify
) -> None:
    produce(*EVENTS).wait(60)
    wait_until(lambda: cache.is_complete(client, "transaction", "Kazan"), "the list is whole")
    client.delete(lost("transaction", "Kazan"))
    assert not cache.is_complete(client, "transaction", "Kazan")
    produce(*EVENTS).wait(60)
    wait_until(lambda: cache.is_complete(client, "transaction", "Kazan"), "the list is whole again")
    verify()


def test_a_list_read_before_newer_commits_is_not_put_in_their_place(
    stack: Stack, client, produce, transaction, verify
) -> None:
    settings = stack.settings
    with open_clients(settings) as clients:
        old = cache.expected(clients, transaction)
        produce(*EVENTS).wait(60)
        verify()
        newer = client.zrange("critical:transaction:Kazan", 0, -1)
        cache.write(client, transaction, settings.cache_ttl_s, old, "rebuilt")
    assert client.zrange("critical:transaction:Kazan", 0, -1) == newer
    verify()


def test_the_audit_looks_again_at_what_a_commit_changed_meanwhile(
    stack: Stack, client, produce, transaction, verify, monkeypatch
) -> None:
    """Whenever everything is read, commits come before the cache is looked at."""
    produce(*EVENTS).wait(60)
    verify()
    read, everything = cache.expected, []

    def expected(clients: Clients, contract: Contract, entities: Any = None) -> cache.Change:
        change = read(clients, contract, entities)
        if entities is None:
            everything.append(change)
            produce(*EVENTS).wait(60)
            wait_until(lambda: commits(stack) > change.sequence, "a commit comes in between")
            wait_until(lambda: is_cached(stack.settings, "transaction"), "the cache has caught up")
        return change

    def checked() -> list[str]:
        with open_clients(stack.settings) as clients:
            return check_cache(clients, transaction).faults

    monkeypatch.setattr(cache, "expected", expected)
    assert checked() == []
    [newest] = client.zrange(cache.list_key("transaction", "Kazan"), 0, 0, desc=True)
    client.hset(cache.events_key("transaction", "Kazan"), newest, "{}")
    try:
        assert checked() == [f"critical:transaction:Kazan: {newest} has another JSON"]
    finally:
        stack.ws("rebuild", "cache", "transaction")
    assert len(everything) == 2
    verify()


def test_a_stream_that_begins_anew_makes_the_cache_anew(
    stack: Stack, client, produce, verify
) -> None:
    """PostgreSQL may have been restored to before the commits that the cache has."""
    produce(*EVENTS).wait(60)
    verify()
    position = cache.position_key("transaction", ("RUB",))
    foreign = cache.list_key("transaction", "Nowhere")
    right = client.hget(position, "value")
    with stack.away("stream"):
        client.delete(cache.sequence_key("transaction"))
        client.hset(position, mapping={"value": "of a commit that was undone", "sequence": 10**9})
        client.zadd(foreign, {"an event of it": 1})
    wait_until(lambda: client.hget(position, "value") == right, "the cache is made anew")
    assert not client.exists(foreign)
    verify()


def test_every_key_expires(client, produce, verify) -> None:
    produce(*EVENTS).wait(60)
    verify()
    keys = list(client.scan_iter("*transaction*"))
    assert keys
    assert all(client.ttl(key) > 0 for key in keys)


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_the_stream_goes_on_while_the_cache_is_full(
    policy: str, stack: Stack, client, produce, verify
) -> None:
    before = commits(stack)
    with memory_limit(client, policy):
        produce(*EVENTS).wait(60)
        wait_until(lambda: commits(stack) > before, "the stream commits")
    wait_until(lambda: is_cached(stack.settings, "transaction"), "the cache has caught up")
    produce(*EVENTS).wait(60)
    verify()
