"""Cassandra's keyspace, roles and tables, that everything else expects."""

from __future__ import annotations

import re
from collections.abc import Iterable

import stamina
from cassandra import AuthenticationFailed
from cassandra.cluster import NoHostAvailable, Session
from cassandra.metadata import TableMetadata

from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.settings import Settings
from watershed.speed import critical
from watershed.stores import quarantine, raw
from watershed.stores.cassandra import connect, connect_as
from watershed.stores.cassandra_table import Table

ADMIN = "watershed_admin"
RENAMED = {"generation": "topic_id"}
"""Columns of keys that older versions named otherwise."""


def ensure_roles(settings: Settings, admin_password: str) -> None:
    """Make the keyspace and the role that owns it; the node's default role cannot log in after."""
    if not _accepts(settings, ADMIN, admin_password):
        _replace_default_role(settings, admin_password)
    keyspace, role = settings.cassandra_keyspace, settings.cassandra_user
    replication = {
        "class": "NetworkTopologyStrategy",
        settings.cassandra_datacenter: settings.cassandra_replication,
    }
    with connect_as(settings, ADMIN, admin_password) as session:
        session.execute("ALTER ROLE cassandra WITH LOGIN = false AND SUPERUSER = false")
        session.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}"
        )
        session.execute(f"CREATE ROLE IF NOT EXISTS {role} WITH LOGIN = true")
        password = settings.secret("cassandra_password")
        session.execute(f"ALTER ROLE {role} WITH PASSWORD = '{password}'")
        session.execute(f"GRANT ALL PERMISSIONS ON KEYSPACE {keyspace} TO {role}")


def _accepts(settings: Settings, user: str, password: str) -> bool:
    try:
        with connect_as(settings, user, password):
            return True
    except NoHostAvailable as error:
        if all(isinstance(e, AuthenticationFailed) for e in error.errors.values()):
            return False
        raise


@stamina.retry(on=NoHostAvailable, timeout=60)  # a new node makes its first role after it listens
def _replace_default_role(settings: Settings, admin_password: str) -> None:
    with connect_as(settings, "cassandra", "cassandra") as session:
        session.execute(
            f"CREATE ROLE IF NOT EXISTS {ADMIN} WITH SUPERUSER = true AND LOGIN = true"
            f" AND PASSWORD = '{admin_password}'"
        )


def ensure_tables(settings: Settings, contracts: Iterable[Contract]) -> None:
    """Make each contract's tables; add the columns that a newer contract declares."""
    with connect(settings) as session:
        _ensure(session, quarantine.table())
        for contract in contracts:
            for table in (raw.table(contract), *critical.tables(contract)):
                _ensure(session, table)


def _ensure(session: Session, table: Table) -> None:
    session.execute(table.create())
    for old in RENAMED.keys() & _made(session, table).columns.keys():
        session.execute(f"ALTER TABLE {table.name} RENAME {old} TO {RENAMED[old]}")
    made = _made(session, table)
    key = [column.name for column in made.primary_key]
    if key != re.findall(r"\w+", table.key):
        raise StoreError(
            f"{table.name} has the key {', '.join(key)}: an older Watershed made it",
            "start in another home, or ./ws destroy this one; the events come again from Kafka",
        )
    found = made.columns
    for name, cql_type in table.columns.items():
        if name not in found:
            session.execute(f"ALTER TABLE {table.name} ADD {name} {cql_type}")
        elif found[name].cql_type != cql_type:
            raise StoreError(
                f"{table.name}.{name} is {found[name].cql_type}, the contract says"
                f" {cql_type}: old rows could not be read",
                "declare a new field instead of changing this one",
            )


def _made(session: Session, table: Table) -> TableMetadata:
    """The table as the node has it."""
    return session.cluster.metadata.keyspaces[session.keyspace].tables[table.name]
