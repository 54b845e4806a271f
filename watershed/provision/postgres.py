"""PostgreSQL's database, roles and tables, that everything else expects."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor
from psycopg2.extensions import encrypt_password

from watershed import stores
from watershed.batch import report
from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.speed import contract_versions, flow, progress
from watershed.stores import reference
from watershed.stores.postgres import connect, transaction

MIGRATIONS = Path(stores.__file__).parent / "migrations"

ADMIN = "postgres"
"""The superuser, who makes roles and databases."""


def ensure_database(settings: Settings, admin: str, password: str) -> None:
    """Make the pipeline's role and database, and the reader's role, as the administrator."""
    with connect(settings, dbname="postgres", user=admin, password=password) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        ensure_role(cursor, settings.postgres_user, settings.secret("postgres_password"))
        reader = settings.secret("postgres_reader_password")
        ensure_role(cursor, settings.postgres_reader, reader)
        ensure_owned(cursor, settings.postgres_database, settings.postgres_user)


def ensure_role(cursor: Cursor, role: str, password: str) -> None:
    """Make a role that may sign in, with this password."""
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
    # What the server checks a password against: a slow statement's log then has no password.
    verifier = sql.Literal(str(encrypt_password(password, role, cursor, "scram-sha-256")))
    cursor.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), verifier)
    )


def ensure_owned(cursor: Cursor, database: str, owner: str) -> None:
    """Make a database of ``owner``'s; the connection is in autocommit."""
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
    if not cursor.fetchone():
        names = sql.Identifier(database), sql.Identifier(owner)
        cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))


def ensure_tables(settings: Settings, contracts: Iterable[Contract]) -> None:
    """Bring the fixed tables to the newest migration, then make each contract's own.

    The reader's role, which is given the report, must be there.
    """
    _migrate(settings)
    with connect(settings) as connection, transaction(connection) as cursor:
        reference.ensure_tables(cursor, settings.schemas_dir)
        for contract in contracts:
            contract_versions.check(cursor, contract)
            flow.ensure_tables(cursor, contract)
            progress.register(cursor, contract)
            report.ensure_tables(cursor, contract, settings.schemas_dir)
        report.grant_reader(cursor, settings)


def _migrate(settings: Settings) -> None:
    # To load them takes a quarter of a second, which every command and job would pay for.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connect"] = lambda: connect(settings)
    command.upgrade(config, "head")
