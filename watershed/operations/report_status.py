"""The state of a report: how far it is final, what was last, whether the layers agree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.batch import aggregates, ledger
from watershed.batch.ledger import NewestEntry
from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.stores import alerts, postgres
from watershed.stores.postgres import transaction

ALERT_AGE = timedelta(days=7)
"""Older alerts are no news."""


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
    last: NewestEntry | None
    unexplained: int
    alert: NewestAlert | None


def report_status(settings: Settings, contract: Contract) -> ReportStatus | None:
    """The contract's report now; None where it declares none. Raises psycopg2.Error."""
    if contract.report is None:
        return None
    with postgres.connect(settings) as connection, transaction(connection) as cursor:
        bounds = ledger.final_range(cursor, contract.type)
        return ReportStatus(
            bounds.end if bounds else None,
            round(ledger.age_s(cursor, bounds.end), 1) if bounds else None,
            ledger.newest(cursor, contract.type),
            _unexplained(cursor, contract),
            _alert(cursor, contract),
        )


def _unexplained(cursor: Cursor, contract: Contract) -> int:
    """An index has these rows alone."""
    cursor.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
            aggregates.interval(contract).identifier, aggregates.unexplained(contract)
        )
    )
    return int(cursor.fetchone()[0])  # type: ignore[index]


def _alert(cursor: Cursor, contract: Contract) -> NewestAlert | None:
    found = alerts.newest(cursor, contract.type, ALERT_AGE, limit=1)
    return next((NewestAlert(a.at, a.source, a.message.split("\n")[0]) for a in found), None)
