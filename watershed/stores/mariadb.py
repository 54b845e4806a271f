"""MariaDB, through MySQL's protocol: reference data that the treasury keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from watershed.errors import StoreError
from watershed.settings import Settings

CONNECT_TIMEOUT_S = 5


@contextmanager
def connect(settings: Settings, **overrides: Any) -> Iterator[Connection[Cursor]]:
    """A connection in UTC, closed at the end; the caller commits.

    Encrypted where the server offers it. Raises StoreError that names server and cause.
    """
    options = {
        "host": settings.mysql_host,
        "port": settings.mysql_port,
        "database": settings.mysql_database,
        "user": settings.mysql_user,
        "password": overrides.pop("password", None) or settings.secret("mysql_password"),
        "connect_timeout": CONNECT_TIMEOUT_S,
        "charset": "utf8mb4",
        "init_command": "SET time_zone = '+00:00'",
        **overrides,
    }
    try:
        connection = pymysql.connect(**options)
    except pymysql.MySQLError as error:
        raise StoreError(
            f"MariaDB at {settings.mysql_host}:{settings.mysql_port}: {error.args[-1]}",
            "is it started, and is its password the one in the secrets' folder?",
        ) from None
    try:
        yield connection
    finally:
        connection.close()
