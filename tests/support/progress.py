"""How far the stream is: what tests wait for."""

from __future__ import annotations

import time

from tests.support.postgres import read
from tests.support.stack import Stack, wait_until
from watershed.operations.status import collect
from watershed.settings import Settings
from watershed.speed import cache, progress
from watershed.stack.services_status import stack_status
from watershed.stores import postgres, redis
from watershed.stores.topics import topic_state

LAG_S = 5.0  # at a few hundred events a second it is about one
RECOVERY_S = 90.0


def is_caught_up(stack: Stack) -> bool:
    """Whether everything that Kafka has is committed."""
    end = topic_state(stack.settings, "transaction").end
    with postgres.connect(stack.settings) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT kafka_partition, next_offset FROM control.stream_offset"
            " WHERE type = 'transaction'"
        )
        return dict(cursor.fetchall()) == end


def commits(stack: Stack) -> int:
    """How many commits were made."""
    with postgres.connect(stack.settings) as connection:
        return read(connection, progress.sequence, "transaction")


def is_cached(settings: Settings, event_type: str) -> bool:
    """Whether the cache has the last commit."""
    with postgres.connect(settings) as connection, redis.connect(settings) as client:
        committed = read(connection, progress.sequence, event_type)
        return cache.cached_sequence(client, event_type) == committed


def wait_commits(stack: Stack, count: int = 1) -> None:
    """Wait until so many more commits are made."""
    before = commits(stack)
    wait_until(lambda: commits(stack) >= before + count, f"{count} more commits")


def wait_recovered(stack: Stack) -> float:
    """Wait, while events flow, until commits are made again and lag is back; the seconds it took.

    Two commits: one may have been under way.
    """
    started = time.monotonic()
    seen: list[int] = []

    def is_back() -> bool:
        status, services = collect(stack.settings), stack_status(stack.home)
        found = [contract for contract in status.contracts if contract.type == "transaction"]
        seen.extend(one.sequence for one in found)
        is_healthy = status.healthy and services.healthy
        return is_healthy and seen[-1] >= seen[0] + 2 and found[0].lag_s < LAG_S

    wait_until(is_back, "lag is back", RECOVERY_S)
    return time.monotonic() - started
