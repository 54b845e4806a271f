"""What operators did to the stores, and who they were: ``control.operator_log``."""

from __future__ import annotations

import getpass
import json
import socket
from typing import Any

from psycopg2.extensions import connection as Connection


def log_operation(connection: Connection, command: str, event_type: str, detail: Any) -> int:
    """Note in this connection's transaction what is done in it; the note's number.

    ``command`` is what a person would type; ``detail`` is JSON: ranges, counts, never a secret.
    """
    cursor = connection.cursor()
    cursor.execute(
        "INSERT INTO control.operator_log (operator, command, type, detail)"
        " VALUES (%s, %s, %s, %s) RETURNING id",
        [_operator(), command, event_type, json.dumps(detail)],
    )
    return int(cursor.fetchone()[0])  # type: ignore[index]


def _operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
