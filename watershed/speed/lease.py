"""One writer per contract: a lease in PostgreSQL with a fencing epoch.

Taking the lease raises the epoch; commits and watermarks name theirs and are refused under an
older one. So a process that slept through its lease changes nothing when it wakes, whatever it
believes. Only PostgreSQL's clock is asked.
"""

from __future__ import annotations

import os
import socket
import uuid
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.errors import OvertakenError, StoreError
from watershed.stores.postgres import transaction

LEASE_S = 10
"""How long a writer that says nothing keeps the lease. It says something every second."""


def this_process() -> str:
    """A name for this process that no other has, as a holder of leases."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def acquire(connection: Connection, event_type: str, holder: str) -> int | None:
    """Take the lease if it is free, has run out or is ours; its new epoch, else None.

    Raises StoreError for a contract without tables.
    """
    epoch = _update(
        connection,
        "SET epoch = epoch + 1, holder = %s,"
        " lease_until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE type = %s AND (holder IS NULL OR holder = %s OR lease_until < clock_timestamp())",
        [holder, LEASE_S, event_type, holder],
    )
    if epoch is None:
        _check_known(connection, event_type)
    return epoch


def renew(connection: Connection, event_type: str, epoch: int) -> None:
    """Keep the lease and say that the contract's query lives.

    Raises OvertakenError when another writer has taken it.
    """
    renewed = _update(
        connection,
        "SET heartbeat_at = clock_timestamp(),"
        " lease_until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE type = %s AND epoch = %s",
        [LEASE_S, event_type, epoch],
    )
    if renewed is None:
        raise lost(event_type, epoch)


def release(connection: Connection, event_type: str, epoch: int) -> None:
    """Give the lease back, if it is still ours."""
    free = "SET holder = NULL, lease_until = NULL WHERE type = %s AND epoch = %s"
    _update(connection, free, [event_type, epoch])


def holder(cursor: Cursor, event_type: str) -> str | None:
    """Who has the lease."""
    cursor.execute("SELECT holder FROM control.stream WHERE type = %s", [event_type])
    row = cursor.fetchone()
    return row[0] if row else None


def check_held(cursor: Cursor, event_type: str, epoch: int) -> None:
    """Raise OvertakenError unless the epoch is the newest; nobody takes the lease until the
    transaction ends."""
    cursor.execute(
        "SELECT FROM control.stream WHERE type = %s AND epoch = %s FOR UPDATE", [event_type, epoch]
    )
    if cursor.fetchone() is None:
        raise lost(event_type, epoch)


def lost(event_type: str, epoch: int) -> OvertakenError:
    """The error of a writer whose epoch is no longer the newest."""
    return OvertakenError(
        f"{event_type}: the lease of epoch {epoch} is another writer's now: this one changed"
        " nothing, and starts again"
    )


def _check_known(connection: Connection, event_type: str) -> None:
    with transaction(connection) as cursor:
        cursor.execute("SELECT FROM control.stream WHERE type = %s", [event_type])
        if cursor.fetchone() is None:
            raise StoreError(
                f"no tables for {event_type} yet", "./ws down, then ./ws up makes them"
            )


def _update(connection: Connection, change: str, values: list[Any]) -> int | None:
    with transaction(connection) as cursor:
        cursor.execute(f"UPDATE control.stream {change} RETURNING epoch", values)
        row = cursor.fetchone()
    return int(row[0]) if row else None
