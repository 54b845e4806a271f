"""Advisory locks of the batch layer: PostgreSQL, not a scheduler, keeps two from one work."""

from __future__ import annotations

from psycopg2.extensions import connection as Connection

STALLED_S = 60


def lock_publishing(connection: Connection, event_type: str) -> None:
    """Be the only one who changes the contract's ledger until this transaction ends.

    Waits for another. If this process stalls or vanishes, PostgreSQL ends the transaction after
    STALLED_S seconds of silence.
    """
    cursor = connection.cursor()
    cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{STALLED_S}s'")
    cursor.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"publishing {event_type}"]
    )


def try_lock_session(connection: Connection, what: str) -> bool:
    """Take a lock for as long as this connection lives, if it is free; commits.

    A client that vanished with its machine loses its connection, and the lock, within a minute.
    """
    with connection:
        cursor = connection.cursor()
        cursor.execute("SET tcp_keepalives_idle = 30")
        cursor.execute("SET tcp_keepalives_interval = 10")
        cursor.execute("SET tcp_keepalives_count = 3")
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [what])
        [taken] = cursor.fetchone() or [False]
    return bool(taken)


def unlock_session(connection: Connection, what: str) -> None:
    """Give back a lock that :func:`try_lock_session` took; rolls back what is left open."""
    connection.rollback()
    with connection:
        cursor = connection.cursor()
        cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [what])


def holder_of(connection: Connection, what: str) -> str:
    """Who has such a lock: the application's name and when it connected."""
    with connection:
        cursor = connection.cursor()
        cursor.execute(
            "WITH key AS (SELECT hashtextextended(%s, 0) AS number)"
            " SELECT application_name, backend_start"
            " FROM pg_stat_activity JOIN pg_locks USING (pid), key"
            " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
            " AND classid = ((number >> 32) & 4294967295)::oid"
            " AND objid = (number & 4294967295)::oid"
            " AND pg_locks.database = (SELECT oid FROM pg_database"
            "  WHERE datname = current_database())",
            [what],
        )
        found = cursor.fetchone()
    if found is None:
        return "another run"
    return f"{found[0]}, connected since {found[1]:%Y-%m-%d %H:%M:%S} UTC"
