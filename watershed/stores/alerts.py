"""Alerts, for a person to look at: ``control.alert``."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg2.extensions import cursor as Cursor


class Alert(NamedTuple):
    """One alert: ``source`` is a DAG or a check, ``type`` the contract's, if it is about one."""

    at: datetime
    source: str
    type: str | None
    message: str
    detail: dict[str, Any]


def alert(
    cursor: Cursor,
    source: str,
    message: str,
    event_type: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Raise an alert, in the caller's transaction.

    ``message`` says what is wrong and what to do; ``detail`` is JSON, never with a secret.
    """
    cursor.execute(
        "INSERT INTO control.alert (source, type, message, detail) VALUES (%s, %s, %s, %s)",
        [source, event_type, message, json.dumps(detail or {}, default=str)],
    )


def newest(cursor: Cursor, event_type: str, within: timedelta, limit: int = 20) -> list[Alert]:
    """The last alerts about a contract, or about none, the newest first; those older than
    ``within`` are no news."""
    cursor.execute(
        "SELECT at, source, type, message, detail FROM control.alert"
        " WHERE (type IS NULL OR type = %s) AND at > clock_timestamp() - %s"
        " ORDER BY alert DESC LIMIT %s",
        [event_type, within, limit],
    )
    return [Alert(*row) for row in cursor.fetchall()]


def prune(cursor: Cursor, before: datetime) -> int:
    """Forget alerts that were raised before then; how many there were."""
    cursor.execute("DELETE FROM control.alert WHERE at < %s", [before])
    return cursor.rowcount
