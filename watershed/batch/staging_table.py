"""The staging table of an attempt, ``staging.<type>_<attempt>``: what its job loads, until it is
published.
"""

from __future__ import annotations

from datetime import datetime

from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.batch import attempts
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.errors import AttemptError
from watershed.stores.postgres import transaction

SCHEMA = "staging"
FIRST = "is_first"
HOLD_TIMEOUT = "30s"
LOCK_TIMEOUT = "1s"


def name(attempt: Attempt) -> str:
    """The name of the attempt's table in schema ``staging``."""
    return f"{attempt.type}_{attempt.attempt}"


def table(attempt: Attempt) -> sql.Identifier:
    """The attempt's staging table, as SQL."""
    return sql.Identifier(SCHEMA, name(attempt))


def make(connection: Connection, attempt: Attempt) -> None:
    """Make the attempt's staging table, empty, in place of one it had.

    It has the fact table's columns, all of which may be null, and ``is_first``. What was checked
    before counts no longer. Tables of older attempts that this one overlaps go, unless something
    still writes there.
    """
    with transaction(connection) as cursor:
        drop(cursor, attempt)
        cursor.execute(
            sql.SQL(
                "CREATE UNLOGGED TABLE {} AS SELECT fact.*, true AS {} FROM {} AS fact WITH NO DATA"
            ).format(table(attempt), sql.Identifier(FIRST), sql.Identifier("report", attempt.type))
        )
        attempts.reset(cursor, attempt)
    _drop_overlapped(connection, attempt)


def drop(cursor: Cursor, attempt: Attempt) -> None:
    """Drop the attempt's staging table, if there is one."""
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table(attempt)))


def count(cursor: Cursor, attempt: Attempt, interval: Interval) -> int:
    """How many rows of an interval the attempt's staging table has."""
    cursor.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE interval_start = %s").format(table(attempt)),
        [interval.start],
    )
    return int(cursor.fetchone()[0])  # type: ignore[index]


def hold(cursor: Cursor, attempt: Attempt) -> None:
    """Keep others from writing to the staging table until this transaction ends.

    Raises AttemptError where it is gone, or something has not ended writing to it in time.
    """
    try:
        cursor.execute(f"SET LOCAL lock_timeout = '{HOLD_TIMEOUT}'")
        cursor.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(table(attempt)))
        cursor.execute("SET LOCAL lock_timeout = 0")
    except errors.UndefinedTable:
        raise AttemptError(
            f"the staging table of attempt {attempt.attempt} is gone",
            "load it again, or begin a new attempt",
        ) from None
    except errors.LockNotAvailable:
        raise AttemptError(
            f"something still writes to the staging table of attempt {attempt.attempt}",
            "end that job, then try again",
        ) from None


def drop_old(connection: Connection, before: datetime) -> int:
    """Drop the tables of attempts that were begun before then and not loaded since.

    Those that no attempt knows of go too; those in use stay until the next time. Returns how many
    were dropped.
    """
    with transaction(connection) as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables LEFT JOIN control.attempt"
            " ON tablename = concat(type, '_', attempt) WHERE schemaname = %s"
            " AND (attempt IS NULL OR greatest(begun_at, loaded_at) < %s)",
            [SCHEMA, before],
        )
        found = [name for (name,) in cursor.fetchall()]
    return sum(_drop_if_free(connection, name) for name in found)


def _drop_overlapped(connection: Connection, attempt: Attempt) -> None:
    """Drop the tables of older attempts, but for one in use: a later attempt drops it."""
    with transaction(connection) as cursor:
        cursor.execute(
            "SELECT tablename FROM control.attempt JOIN pg_tables"
            " ON schemaname = %s AND tablename = concat(type, '_', attempt)"
            " WHERE type = %s AND attempt < %s AND start_at < %s AND end_at > %s",
            [SCHEMA, attempt.type, attempt.attempt, attempt.end, attempt.start],
        )
        found = [name for (name,) in cursor.fetchall()]
    for older in found:
        _drop_if_free(connection, older)


def _drop_if_free(connection: Connection, name: str) -> bool:
    """Drop a table unless somebody uses it; whether it was dropped."""
    try:
        with transaction(connection) as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            statement = sql.SQL("DROP TABLE IF EXISTS {}")
            cursor.execute(statement.format(sql.Identifier(SCHEMA, name)))
    except errors.LockNotAvailable:
        return False
    return True
