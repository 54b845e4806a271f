"""Snapshots of reference data, and PostgreSQL's part of what they are taken of.

A snapshot is a folder of the lake, ``reference/snapshot=<n>``, with a folder of Parquet files per
table. It counts once ``control.reference_snapshot`` has its row, and is never changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from watershed.errors import LeaseHeldError, StoreError
from watershed.stores import lake
from watershed.stores.locks import holder_of, try_lock_session, unlock_session
from watershed.stores.seeds import ddl, seeds
from watershed.stores.sql_types import identifiers

SCHEMA = "reference"
STORE = "postgres"
REFRESHING = "refreshing reference data"
UNUSED_KEPT = timedelta(days=1)
"""So long a snapshot is kept that no attempt names: one may be about to begin with it."""


@dataclass(frozen=True)
class Snapshot:
    """All reference data as of one moment; ``folder`` is below the lake's."""

    snapshot: int
    folder: str


class Content(NamedTuple):
    """What a table of a snapshot holds; the checksum is the same for the same rows."""

    rows: int
    checksum: str


class Copy(NamedTuple):
    """Rows that replace those of a table of PostgreSQL's, ``schema.name``."""

    table: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def ensure_tables(connection: Connection, schemas_dir: Path) -> None:
    """Make the tables of ``schemas/reference/postgres.sql``, uncommitted.

    Rows of ``schemas/reference/postgres`` are inserted where there is none of their key, so that
    what people changed stays.
    """
    cursor = connection.cursor()
    cursor.execute(ddl(schemas_dir, STORE) or "SELECT")
    for table, columns, rows in seeds(schemas_dir, STORE):
        execute_values(
            cursor,
            sql.SQL("INSERT INTO {} ({}) VALUES %s ON CONFLICT DO NOTHING").format(
                sql.Identifier(SCHEMA, table), identifiers(columns)
            ),
            rows,
        )


def newest(connection: Connection) -> Snapshot:
    """The snapshot that an attempt begins with. Raises StoreError when there is none."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT snapshot, folder FROM control.reference_snapshot ORDER BY snapshot DESC LIMIT 1"
    )
    row = cursor.fetchone()
    if row is None:
        raise StoreError(
            "there is no snapshot of the reference data yet",
            "the DAG refresh_reference takes one: its last run says what it lacks",
        )
    return Snapshot(*row)


def get(connection: Connection, snapshot: int) -> Snapshot:
    """A snapshot by its number. Raises StoreError when there is none of it."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT snapshot, folder FROM control.reference_snapshot WHERE snapshot = %s", [snapshot]
    )
    row = cursor.fetchone()
    if row is None:
        raise StoreError(
            f"there is no snapshot {snapshot} of the reference data",
            "begin a new attempt: it takes the newest one",
        )
    return Snapshot(*row)


@contextmanager
def refreshing(connection: Connection) -> Iterator[None]:
    """Be the only one who takes a snapshot. Raises LeaseHeldError when another does."""
    if not try_lock_session(connection, REFRESHING):
        raise LeaseHeldError(
            f"{holder_of(connection, REFRESHING)} is taking a snapshot of the reference data",
            "wait for it: there will be a new snapshot then",
        )
    try:
        yield
    finally:
        if not connection.closed:
            unlock_session(connection, REFRESHING)


def next_snapshot(connection: Connection) -> Snapshot:
    """A number that no snapshot had, and its folder; nothing is recorded. Commits."""
    with connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('control.reference_snapshot', 'snapshot'))"
        )
        [number] = cursor.fetchone() or [0]
    return Snapshot(number, f"{SCHEMA}/snapshot={number}")


def record(
    connection: Connection,
    snapshot: Snapshot,
    tables: Mapping[str, Content],
    copies: Sequence[Copy],
) -> None:
    """Let a snapshot count, whose folder is in place; replace PostgreSQL's copies; commits."""
    with connection:
        cursor = connection.cursor()
        cursor.execute(
            "INSERT INTO control.reference_snapshot (snapshot, folder, tables)"
            " OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s)",
            [
                snapshot.snapshot,
                snapshot.folder,
                json.dumps({name: content._asdict() for name, content in tables.items()}),
            ],
        )
        for table, columns, rows in copies:
            target = sql.Identifier(*table.split("."))
            cursor.execute(sql.SQL("DELETE FROM {}").format(target))
            execute_values(
                cursor,
                sql.SQL("INSERT INTO {} ({}) VALUES %s").format(target, identifiers(columns)),
                rows,
            )


def take_away_unrecorded(connection: Connection, lake_dir: Path) -> list[Path]:
    """Remove folders that no row names; for who is ``refreshing``. What was removed."""
    with connection:
        cursor = connection.cursor()
        cursor.execute("SELECT folder FROM control.reference_snapshot")
        known = {lake_dir / folder for (folder,) in cursor.fetchall()}
    strange = [
        *(lake_dir / lake.MAKING).glob("snapshot-*"),
        *(path for path in (lake_dir / SCHEMA).glob("snapshot=*") if path not in known),
    ]
    for path in strange:
        lake.take_away(path)
    return strange


def prune(connection: Connection) -> int:
    """Forget snapshots that no attempt names, but for the newest; commits. How many there were.

    Their folders are taken away by the next refresh, which alone touches folders.
    """
    with connection:
        cursor = connection.cursor()
        cursor.execute(
            "DELETE FROM control.reference_snapshot r WHERE taken_at < clock_timestamp() - %s"
            " AND snapshot < (SELECT max(snapshot) FROM control.reference_snapshot)"
            " AND NOT EXISTS (SELECT FROM control.attempt a WHERE a.snapshot = r.snapshot)",
            [UNUSED_KEPT],
        )
        return cursor.rowcount
