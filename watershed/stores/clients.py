"""Clients of all stores, opened and closed together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection
from redis import Redis

from watershed.settings import Settings
from watershed.stores import cassandra, postgres, redis


@dataclass(frozen=True)
class Clients:
    """One of each, for one thread: PostgreSQL, Cassandra, Redis."""

    settings: Settings
    postgres: Connection
    cassandra: Session
    redis: Redis


@contextmanager
def open_clients(settings: Settings) -> Iterator[Clients]:
    """Connect to PostgreSQL and Cassandra; Redis is connected to when it is asked.

    Raises OperationalError, NoHostAvailable.
    """
    with (
        postgres.connect(settings) as connection,
        cassandra.connect(settings) as session,
        redis.connect(settings) as client,
    ):
        yield Clients(settings, connection, session, client)
