"""Connections to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from watershed.settings import Settings

CONNECT_TIMEOUT_S = 5


@contextmanager
def connect(settings: Settings, **overrides: Any) -> Iterator[Connection]:
    """A connection in UTC, closed at the end; the caller commits. Raises OperationalError."""
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
