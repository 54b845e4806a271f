"""Readiness of a deployment: whether events go all the way, or a stream refuses to go on."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from watershed.operations.deadline import ask
from watershed.settings import Settings
from watershed.speed import cache, heartbeat, time_index
from watershed.stores import postgres, redis
from watershed.stores.postgres import transaction
from watershed.stores.unavailable import UNAVAILABLE

LOOK_S = 5.0


def flows(settings: Settings, event_type: str, since: datetime) -> bool:
    """Whether events were committed since then and went all the way, to the cache.

    ``since`` is by this machine's clock, which PostgreSQL's must agree with.
    """
    try:
        return ask(partial(_arrived, settings, event_type, since)).result(LOOK_S)
    except UNAVAILABLE:
        return False


def cached_sequence(settings: Settings, event_type: str) -> int:
    """The last commit that the cache has. Raises RedisError."""
    with redis.connect(settings) as client:
        return cache.cached_sequence(client, event_type)


def refusals(settings: Settings, since: datetime) -> dict[str, str]:
    """Why streams do not go on, by event type, as they found since then; none is known while
    PostgreSQL is away."""
    try:
        with postgres.connect(settings) as connection, transaction(connection) as cursor:
            return heartbeat.refusals(cursor, since)
    except UNAVAILABLE:
        return {}


def _arrived(settings: Settings, event_type: str, since: datetime) -> bool:
    with postgres.connect(settings) as connection, transaction(connection) as cursor:
        first = time_index.first_commit(cursor, event_type, since)
    return first is not None and cached_sequence(settings, event_type) >= first
