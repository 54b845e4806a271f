"""Advisory locks of the batch layer: PostgreSQL, not a scheduler, keeps two from one work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.errors import LeaseHeldError
from watershed.stores.postgres import transaction

STALLED_S = 60


def lock_publishing(cursor: Cursor, event_type: str) -> None:
    """Be the only one who changes the contract's ledger until this transaction ends.

    Waits for another. If this process stalls or vanishes, PostgreSQL ends the transaction after
    STALLED_S seconds of silence.
    """
    cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{STALLED_S}s'")
    cursor.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"publishing {event_type}"]
    )


@contextmanager
def hold(connection: Connection, work: str) -> Iterator[None]:
    """Be the only one at some work, as ``enriching transaction``, while this connection lives.

    A client that vanished with its machine loses its connection, and the lock, within a minute.
    Raises LeaseHeldError when another is at it.
    """
    if not _try_lock(connection, work):
        raise LeaseHeldError(
            f"{_holder(connection, work)} is {work}", "wait until that has ended, then try again"
        )
    try:
        yield
    finally:
        if not connection.closed:
            connection.rollback()
            with transaction(connection) as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [work])


def _try_lock(connection: Connection, work: str) -> bool:
    with transaction(connection) as cursor:
        cursor.execute("SET tcp_keepalives_idle = 30")
        cursor.execute("SET tcp_keepalives_interval = 10")
        cursor.execute("SET tcp_keepalives_count = 3")
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [work])
        return bool(cursor.fetchone()[0])  # type: ignore[index]


def _holder(connection: Connection, work: str) -> str:
    """Who has the lock: the application's name and when it connected."""
    with transaction(connection) as cursor:
        cursor.execute(
            "WITH key AS (SELECT hashtextextended(%s, 0) AS number)"
            " SELECT application_name, backend_start"
            " FROM pg_stat_activity JOIN pg_locks USING (pid), key"
            " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
            " AND classid = ((number >> 32) & 4294967295)::oid"
            " AND objid = (number & 4294967295)::oid"
            " AND pg_locks.database = (SELECT oid FROM pg_database"
            "  WHERE datname = current_database())",
            [work],
        )
        row = cursor.fetchone()
    if row is None:
        return "another run"
    application, since = row
    return f"{application}, connected since {since:%Y-%m-%d %H:%M:%S} UTC,"
