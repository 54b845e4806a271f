"""Keeps the cache up with the commits, beside the stream and never in its way."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import ExitStack

from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.speed import cache, progress
from watershed.speed.cache import Change
from watershed.stores import postgres, redis
from watershed.stores.clients import Clients, open_clients
from watershed.stores.unavailable import UNAVAILABLE

log = logging.getLogger("watershed.cache")

PENDING_MAX = 64  # commits waiting for Redis; beyond that one rebuild is cheaper than all of them
IDLE_S = 1.0
PACE = 10  # a server that keeps evicting is rebuilt for a tenth of the time, not all of it


class CacheWriter(threading.Thread):
    """Applies each commit's change in order; rebuilds the cache when it has missed one.

    Redis may be away, emptied or replaced at any time: while the stream runs, the number in the
    cache tells, and what is missing is made again from Cassandra and PostgreSQL.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        super().__init__(name=f"cache-{contract.type}", daemon=True)
        self._settings = settings
        self._contract = contract
        self._changes: queue.Queue[Change] = queue.Queue()
        self._stopping = threading.Event()
        self._redis = redis.connect(settings)
        self._away = False
        self._rebuild_after = 0.0
        self._starts = self._rebuilt_for = 0
        self._stack = ExitStack()
        self._clients: Clients | None = None

    def start_anew(self) -> None:
        """The stream begins on a PostgreSQL that may have been restored: the cache may have other
        commits under the same numbers, and is emptied and made again whatever its number is."""
        self._starts += 1

    def put(self, change: Change) -> None:
        """Hand over a commit's change; returns at once."""
        if self._changes.qsize() < PENDING_MAX:
            self._changes.put(change)

    def stop(self) -> None:
        """Write what is waiting, then end; what cannot be written is rebuilt at the next start."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not (self._stopping.is_set() and (self._away or self._changes.empty())):
            try:
                self._step()
                self._say(away=False)
            except UNAVAILABLE as error:
                self._say(away=True, why=error)
                self._leave()
                self._stopping.wait(IDLE_S)
            except Exception:  # a fault of ours must show, and must not end the repairs
                log.exception("%s: cache not written", self._contract.type)
                self._away = True
                self._leave()
                self._stopping.wait(IDLE_S)
        self._leave()

    def _step(self) -> None:
        if self._is_doubtful() and time.monotonic() >= self._rebuild_after:
            have = cache.cached_sequence(self._redis, self._contract.type)
            cache.clear(self._redis, self._contract)
            self._rebuild(have)
        try:
            change = self._changes.get(timeout=IDLE_S)
        except queue.Empty:
            change = None
        if self._is_doubtful():
            return  # what it is made from will have the change
        if change is None or not self._apply(change):
            self._rebuild_if_behind()

    def _apply(self, change: Change) -> bool:
        ttl_s = self._settings.cache_ttl_s
        return cache.apply(self._redis, self._contract, ttl_s, change, self._make_whole)

    def _is_doubtful(self) -> bool:
        return self._rebuilt_for < self._starts

    def _make_whole(self, entities: list[str]) -> None:
        ttl_s = self._settings.cache_ttl_s
        cache.make_lists_whole(self._stores(), self._contract, ttl_s, entities)

    def _rebuild_if_behind(self) -> None:
        if time.monotonic() < self._rebuild_after:
            return
        with (
            postgres.connect(self._settings) as connection,
            postgres.transaction(connection) as cursor,
        ):
            committed = progress.sequence(cursor, self._contract.type)
        have = cache.cached_sequence(self._redis, self._contract.type)
        if have != committed:
            self._rebuild(have)

    def _rebuild(self, have: int) -> None:
        starts, started = self._starts, time.monotonic()
        done = cache.rebuild(self._stores(), self._contract, self._settings.cache_ttl_s)
        self._rebuilt_for = starts
        self._rebuild_after = time.monotonic() + PACE * (time.monotonic() - started)
        log.info("%s: cache had commit %s, rebuilt as of %s", self._contract.type, have, done)

    def _stores(self) -> Clients:
        """What the cache is made from, and where to; open until one of them is away."""
        if self._clients is None:
            self._clients = self._stack.enter_context(open_clients(self._settings))
        return self._clients

    def _leave(self) -> None:
        self._clients = None
        self._stack.close()

    def _say(self, *, away: bool, why: Exception | None = None) -> None:
        if away and not self._away:
            log.warning("%s: cache cannot be written, retrying: %s", self._contract.type, why)
        elif self._away and not away:
            log.info("%s: cache is written again", self._contract.type)
        self._away = away
