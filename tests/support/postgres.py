"""Asking PostgreSQL from a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from psycopg2.extensions import connection as Connection

from watershed.stores.postgres import transaction

T = TypeVar("T")


def read(connection: Connection, function: Callable[..., T], *arguments: Any) -> T:
    """What a function gives in a transaction of its own."""
    with transaction(connection) as cursor:
        return function(cursor, *arguments)
