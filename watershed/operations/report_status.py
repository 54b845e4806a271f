"""What is final, at a glance: how far, what was last, and whether the layers agree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from watershed.batch import aggregates
from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.stores import alerts, postgres

ALERT_AGE = timedelta(days=7)
"""Older alerts are no news."""


@dataclass(frozen=True)
class LastInterval:
    """The newest interval of the ledger; ``skipped`` by an operator, it has no numbers."""

    start: datetime
    end: datetime
    skipped: bool
    rows: int
    duplicates: int
    conflicts: int


@dataclass(frozen=True)
class NewestAlert:
    """The last alert about the contract, or about none; the first line of what it says."""

    at: datetime
    source: str
    message: str


@dataclass(frozen=True)
class ReportStatus:
    """One contract's report. ``final_s`` is how long ago in arrival time it was made final;
    ``unexplained`` counts groups of intervals in which batch and flow differ without a reason."""

    final_until: datetime | None
    final_s: float | None
    last: LastInterval | None
    unexplained: int
    alert: NewestAlert | None


def report_status(settings: Settings, contract: Contract) -> ReportStatus | None:
    """The contract's report now; None where it declares none. Raises psycopg2.Error."""
    if contract.report is None:
        return None
    with postgres.connect(settings) as connection:
        until, age_s = _row(
            connection,
            "SELECT final_until, extract(epoch FROM clock_timestamp() - final_until)::float"
            " FROM control.stream WHERE type = %s",
            contract.type,
        ) or (None, None)
        return ReportStatus(
            until,
            None if age_s is None else round(age_s, 1),
            _last(connection, contract),
            _unexplained(connection, contract),
            _alert(connection, contract),
        )


def _last(connection: Connection, contract: Contract) -> LastInterval | None:
    row = _row(
        connection,
        "SELECT start_at, end_at, attempt IS NULL, rows, duplicates, conflicts"
        " FROM control.interval WHERE type = %s ORDER BY start_at DESC LIMIT 1",
        contract.type,
    )
    return LastInterval(*row) if row else None


def _unexplained(connection: Connection, contract: Contract) -> int:
    """An index has these rows alone."""
    cursor = connection.cursor()
    cursor.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
            aggregates.interval(contract).identifier, aggregates.unexplained(contract)
        )
    )
    return int(cursor.fetchone()[0])  # type: ignore[index]


def _alert(connection: Connection, contract: Contract) -> NewestAlert | None:
    found = alerts.newest(connection, contract.type, ALERT_AGE, limit=1)
    return next((NewestAlert(a.at, a.source, a.message.split("\n")[0]) for a in found), None)


def _row(connection: Connection, query: str, event_type: str) -> Any:
    cursor = connection.cursor()
    cursor.execute(query, [event_type])
    return cursor.fetchone()
