"""What old attempts left in schema ``staging``."""

from __future__ import annotations

from datetime import datetime

from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection

from watershed.stores.attempts import SCHEMA

LOCK_TIMEOUT = "1s"


def forget(connection: Connection, published_before: datetime, begun_before: datetime) -> int:
    """Drop the staging tables of attempts that were published, or begun, so long ago; commits.

    Those that an attempt no longer knows of go too; those in use stay until the next time.
    Returns how many were dropped.
    """
    with connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT tablename FROM pg_tables LEFT JOIN control.attempt"
            " ON tablename = concat(type, '_', attempt) WHERE schemaname = %s"
            " AND (attempt IS NULL OR published_at < %s OR begun_at < %s)",
            [SCHEMA, published_before, begun_before],
        )
        found = [name for (name,) in cursor.fetchall()]
    return sum(_drop_if_free(connection, name) for name in found)


def _drop_if_free(connection: Connection, table: str) -> bool:
    try:
        with connection:
            cursor = connection.cursor()
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
            name = sql.Identifier(SCHEMA, table)
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    except errors.LockNotAvailable:
        return False
    return True
