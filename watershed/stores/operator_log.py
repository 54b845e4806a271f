"""What operators did to the stores, and who they were: ``control.operator_log``."""

from __future__ import annotations

import getpass
import json
import socket
from typing import Any, NamedTuple

from psycopg2.extensions import cursor as Cursor


class Operation(NamedTuple):
    """A line of the log: its number, and what it says."""

    id: int
    detail: dict[str, Any]


def newest(cursor: Cursor, command: str, event_type: str) -> Operation | None:
    """The last line of a command on a contract."""
    cursor.execute(
        "SELECT id, detail FROM control.operator_log WHERE type = %s AND command = %s"
        " ORDER BY id DESC LIMIT 1",
        [event_type, command],
    )
    row = cursor.fetchone()
    return Operation(*row) if row else None


def log_operation(cursor: Cursor, command: str, event_type: str, detail: Any) -> int:
    """Note what is done in a transaction; the note's number.

    ``command`` is what a person would type; ``detail`` is JSON: ranges, counts, never a secret.
    """
    cursor.execute(
        "INSERT INTO control.operator_log (operator, command, type, detail)"
        " VALUES (%s, %s, %s, %s) RETURNING id",
        [_operator(), command, event_type, json.dumps(detail)],
    )
    return int(cursor.fetchone()[0])  # type: ignore[index]


def _operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
