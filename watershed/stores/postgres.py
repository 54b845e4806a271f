"""Connections to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.settings import Settings

CONNECT_TIMEOUT_S = 5


@contextmanager
def transaction(connection: Connection) -> Iterator[Cursor]:
    """One transaction: committed at the end, rolled back on any error.

    Who runs in a transaction is given the cursor, who has transactions of its own a connection.
    """
    with connection, connection.cursor() as cursor:
        yield cursor


@contextmanager
def snapshot(connection: Connection) -> Iterator[Cursor]:
    """One transaction that sees one moment, and changes nothing; what was open is rolled back."""
    connection.rollback()
    with transaction(connection) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield cursor


@contextmanager
def connect(settings: Settings, **overrides: Any) -> Iterator[Connection]:
    """A connection in UTC, closed at the end. Raises OperationalError."""
    connection = psycopg2.connect(
        **{
            "host": settings.postgres_host,
            "port": settings.postgres_port,
            "dbname": settings.postgres_database,
            "user": settings.postgres_user,
            "password": overrides.pop("password", None) or settings.secret("postgres_password"),
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "watershed",
            "options": "-c timezone=UTC",
            **overrides,
        }
    )
    try:
        yield connection
    finally:
        connection.close()
