"""Heartbeats of the streams: that each lives, and why it does not get on."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.stores.postgres import transaction


class Heartbeat(NamedTuple):
    """``at`` is the query's last sign of life, None before the first; ``refusal`` why it does not
    go on, ``trouble`` what makes it fail again and again, None where nothing does."""

    at: datetime | None
    refusal: str | None
    trouble: str | None


def read_all(cursor: Cursor) -> dict[str, Heartbeat]:
    """The last heartbeat of each contract's query, by event type."""
    cursor.execute("SELECT type, heartbeat_at, refusal, trouble FROM control.stream")
    return {name: Heartbeat(*rest) for name, *rest in cursor.fetchall()}


def note_refusal(connection: Connection, event_type: str, refusal: str) -> None:
    """Say that the contract's query lives but does not go on, and why."""
    with transaction(connection) as cursor:
        cursor.execute(
            "UPDATE control.stream SET heartbeat_at = clock_timestamp(), refusal = %s,"
            " refused_at = clock_timestamp() WHERE type = %s",
            [refusal, event_type],
        )


def note_trouble(connection: Connection, event_type: str, trouble: str) -> None:
    """Say what makes the contract's query fail again and again."""
    with transaction(connection) as cursor:
        cursor.execute(
            "UPDATE control.stream SET trouble = %s WHERE type = %s", [trouble, event_type]
        )


def clear(connection: Connection, event_type: str) -> None:
    """Take back a refusal and trouble."""
    with transaction(connection) as cursor:
        cursor.execute(
            "UPDATE control.stream SET refusal = NULL, refused_at = NULL, trouble = NULL"
            " WHERE type = %s",
            [event_type],
        )


def refusals(cursor: Cursor, since: datetime) -> dict[str, str]:
    """Why streams do not go on, by event type: refusals that were found to hold after a time."""
    cursor.execute(
        "SELECT type, refusal FROM control.stream WHERE refused_at > %s ORDER BY type", [since]
    )
    return dict(cursor.fetchall())
