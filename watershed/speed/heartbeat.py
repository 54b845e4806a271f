"""What each contract's stream says of itself: that it lives, and why it does not get on."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from psycopg2.extensions import connection as Connection


class Said(NamedTuple):
    """``heartbeat_at`` is the query's last sign of life, None before the first; ``refusal`` why it
    does not go on, ``trouble`` what makes it fail again and again, None where nothing does."""

    heartbeat_at: datetime | None
    refusal: str | None
    trouble: str | None


def said(connection: Connection) -> dict[str, Said]:
    """What each contract's query said last, in this connection's transaction."""
    cursor = connection.cursor()
    cursor.execute("SELECT type, heartbeat_at, refusal, trouble FROM control.stream")
    return {name: Said(*rest) for name, *rest in cursor.fetchall()}


def refuse(connection: Connection, event_type: str, why: str) -> None:
    """Say that the contract's query lives but does not go on, and why; commits."""
    connection.cursor().execute(
        "UPDATE control.stream SET heartbeat_at = clock_timestamp(), refusal = %s,"
        " refused_at = clock_timestamp() WHERE type = %s",
        [why, event_type],
    )
    connection.commit()


def struggle(connection: Connection, event_type: str, trouble: str) -> None:
    """Say what makes the contract's query fail again and again; commits."""
    connection.cursor().execute(
        "UPDATE control.stream SET trouble = %s WHERE type = %s", [trouble, event_type]
    )
    connection.commit()


def go_on(connection: Connection, event_type: str) -> None:
    """Take back what was said of a refusal or trouble; commits."""
    connection.cursor().execute(
        "UPDATE control.stream SET refusal = NULL, refused_at = NULL, trouble = NULL"
        " WHERE type = %s",
        [event_type],
    )
    connection.commit()


def refusals(connection: Connection, since: datetime) -> dict[str, str]:
    """Why streams do not go on, by event type: what was found to hold after a time."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT type, refusal FROM control.stream WHERE refused_at > %s ORDER BY type", [since]
    )
    return dict(cursor.fetchall())
