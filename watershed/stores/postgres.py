"""PostgreSQL: connections, and the database, roles and tables that everything else expects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from alembic import command
from alembic.config import Config
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password

from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.stores import control, flow, report, versions

CONNECT_TIMEOUT_S = 5
MIGRATIONS = Path(__file__).parent / "migrations"


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


def ensure_database(settings: Settings, admin: str, password: str) -> None:
    """Make the pipeline's role and database, as the server's administrator."""
    role = sql.Identifier(settings.postgres_user)
    database = sql.Identifier(settings.postgres_database)
    with connect(settings, dbname="postgres", user=admin, password=password) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [settings.postgres_user])
        verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
        secret = sql.Literal(_verifier(settings, connection))
        cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, secret))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [settings.postgres_database])
        if not cursor.fetchone():
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))


def _verifier(settings: Settings, connection: Connection) -> str:
    """What the server checks a password against: a slow statement's log then has no password."""
    password, user = settings.secret("postgres_password"), settings.postgres_user
    return str(encrypt_password(password, user, connection, "scram-sha-256"))


def ensure_tables(settings: Settings, contracts: Iterable[Contract]) -> None:
    """Bring the fixed tables to the newest migration, then make each contract's own."""
    with connect(settings) as connection:
        _migrate(settings)
        for contract in contracts:
            versions.check(connection, contract)
            flow.ensure_tables(connection, contract)
            control.register(connection, contract)
            report.ensure_tables(connection, contract, settings.schemas_dir)
        connection.commit()


def _migrate(settings: Settings) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connect"] = lambda: connect(settings)
    command.upgrade(config, "head")
