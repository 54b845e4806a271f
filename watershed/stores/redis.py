"""Clients of Redis."""

from __future__ import annotations

from redis import Redis

from watershed.settings import Settings

TIMEOUT_S = 2


def connect(settings: Settings) -> Redis:
    """A client; constructing does not connect. Calls raise RedisError."""
    return Redis(
        settings.redis_host,
        settings.redis_port,
        password=settings.secret("redis_password"),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        decode_responses=True,
    )
