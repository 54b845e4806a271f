"""Snapshots of reference data, and PostgreSQL's part of what they are taken of.

A snapshot is a folder of the lake, ``reference/snapshot=<n>``, with a folder of Parquet files per
table. It counts once ``control.reference_snapshot`` has its row, and is never changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from watershed.errors import StoreError
from watershed.stores import lake, locks
from watershed.stores.postgres import transaction
from watershed.stores.seeds import ddl, seeds
from watershed.stores.sql_types import identifiers

SCHEMA = "reference"
STORE = "postgres"
UNUSED_KEPT = timedelta(days=1)
"""So long a snapshot is kept that no attempt names: one may be about to begin with it."""


@dataclass(frozen=True)
class ReferenceSnapshot:
    """All reference data as of one moment; ``folder`` is below the lake's."""

    snapshot: int
    folder: str


class TableContent(NamedTuple):
    """What a table of a snapshot holds; the checksum is the same for the same rows."""

    rows: int
    checksum: str


class Copy(NamedTuple):
    """Rows that replace those of a table of PostgreSQL's, ``schema.name``."""

    table: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def ensure_tables(cursor: Cursor, schemas_dir: Path) -> None:
    """Make the tables of ``schemas/reference/postgres.sql``.

    Rows of ``schemas/reference/postgres`` are inserted where there is none of their key, so that
    what people changed stays.
    """
    cursor.execute(ddl(schemas_dir, STORE) or "SELECT")
    for table, columns, rows in seeds(schemas_dir, STORE):
        execute_values(
            cursor,
            sql.SQL("INSERT INTO {} ({}) VALUES %s ON CONFLICT DO NOTHING").format(
                sql.Identifier(SCHEMA, table), identifiers(columns)
            ),
            rows,
        )


def newest(cursor: Cursor) -> ReferenceSnapshot:
    """The snapshot that an attempt begins with. Raises StoreError when there is none."""
    cursor.execute(
        "SELECT snapshot, folder FROM control.reference_snapshot ORDER BY snapshot DESC LIMIT 1"
    )
    row = cursor.fetchone()
    if row is None:
        raise StoreError(
            "there is no snapshot of the reference data yet",
            "the DAG refresh_reference takes one: its last run says what it lacks",
        )
    return ReferenceSnapshot(*row)


def get(cursor: Cursor, snapshot: int) -> ReferenceSnapshot:
    """A snapshot by its number. Raises StoreError when there is none of it."""
    cursor.execute(
        "SELECT snapshot, folder FROM control.reference_snapshot WHERE snapshot = %s", [snapshot]
    )
    row = cursor.fetchone()
    if row is None:
        raise StoreError(
            f"there is no snapshot {snapshot} of the reference data",
            "begin a new attempt: it takes the newest one",
        )
    return ReferenceSnapshot(*row)


def refreshing(connection: Connection) -> AbstractContextManager[None]:
    """Be the only one who takes a snapshot: :func:`watershed.stores.locks.hold`."""
    return locks.hold(connection, "refreshing the reference data")


def next_snapshot(connection: Connection) -> ReferenceSnapshot:
    """A number that no snapshot had, and its folder; nothing is recorded."""
    with transaction(connection) as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('control.reference_snapshot', 'snapshot'))"
        )
        [number] = cursor.fetchone() or [0]
    return ReferenceSnapshot(number, f"{SCHEMA}/snapshot={number}")


def record(
    connection: Connection,
    snapshot: ReferenceSnapshot,
    tables: Mapping[str, TableContent],
    copies: Sequence[Copy],
) -> None:
    """Let a snapshot count, whose folder is in place; replace PostgreSQL's copies."""
    with transaction(connection) as cursor:
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


def remove_unrecorded(connection: Connection, lake_dir: Path) -> list[Path]:
    """Remove folders that no row names; for who is ``refreshing``. What was removed."""
    with transaction(connection) as cursor:
        cursor.execute("SELECT folder FROM control.reference_snapshot")
        known = {lake_dir / folder for (folder,) in cursor.fetchall()}
    strange = [
        *(lake_dir / lake.MAKING).glob("snapshot-*"),
        *(path for path in (lake_dir / SCHEMA).glob("snapshot=*") if path not in known),
    ]
    for path in strange:
        lake.remove(path)
    return strange


def prune(connection: Connection) -> int:
    """Forget snapshots that no attempt names, but for the newest; how many there were.

    Their folders are taken away by the next refresh, which alone touches folders.
    """
    with transaction(connection) as cursor:
        cursor.execute(
            "DELETE FROM control.reference_snapshot r WHERE taken_at < clock_timestamp() - %s"
            " AND snapshot < (SELECT max(snapshot) FROM control.reference_snapshot)"
            " AND NOT EXISTS (SELECT FROM control.attempt a WHERE a.snapshot = r.snapshot)",
            [UNUSED_KEPT],
        )
        return cursor.rowcount
