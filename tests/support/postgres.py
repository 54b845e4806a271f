"""Asking PostgreSQL from a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from watershed.provision.postgres import ADMIN
from watershed.settings import Settings
from watershed.stores import postgres
from watershed.stores.postgres import transaction

T = TypeVar("T")


def read(connection: Connection, function: Callable[..., T], *arguments: Any) -> T:
    """What a function gives in a transaction of its own."""
    with transaction(connection) as cursor:
        return function(cursor, *arguments)


def on_server(settings: Settings, statement: str, *names: str) -> None:
    """Run a statement as PostgreSQL's administrator, outside of a transaction."""
    password = settings.secret("postgres_admin_password")
    with postgres.connect(settings, dbname="postgres", user=ADMIN, password=password) as server:
        server.autocommit = True
        server.cursor().execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
