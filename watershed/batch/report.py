"""Schema ``report``: facts of each contract, what is added up from them, and who may read it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from psycopg2 import ProgrammingError, sql
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.batch import aggregates, facts, ledger, staging_table, views
from watershed.batch.intervals import Interval
from watershed.batch.report_table import SCHEMA
from watershed.contracts.derived import EVENT_COUNT
from watershed.contracts.model import Contract
from watershed.contracts.query import REPORT_FILE
from watershed.errors import StoreError
from watershed.settings import Settings
from watershed.speed import flow
from watershed.stores.locks import lock_publishing
from watershed.stores.postgres import transaction
from watershed.stores.sql_types import identifiers

FOLDED = "folded from history that was pruned"
LOCK_TIMEOUT = "10s"


def ensure_tables(cursor: Cursor, contract: Contract, schemas_dir: Path) -> None:
    """Make a contract's report: facts, sums, views, and what its ``report.sql`` has beside them.

    Raises StoreError for a change that does not go without losing something, and when a query of
    the report holds it up.
    """
    if contract.report is None:
        return
    lock_publishing(cursor, contract.type)
    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    try:
        facts.ensure_table(cursor, contract)
        aggregates.ensure_tables(cursor, contract)
        ledger.ensure_apart(cursor, contract)
        views.ensure_views(cursor, contract)
        _run(cursor, schemas_dir / contract.type / REPORT_FILE)
    except LockNotAvailable:
        raise StoreError(
            f"a query of report.{contract.type} or its views went on for {LOCK_TIMEOUT}",
            "let it end, or end it (pg_stat_activity has it), then start again",
        ) from None


def _run(cursor: Cursor, path: Path) -> None:
    """Run a contract's ``report.sql``, if it has one."""
    if not path.is_file():
        return
    try:
        cursor.execute(path.read_text(encoding="utf-8").strip() or "SELECT")
    except ProgrammingError as error:
        raise StoreError(
            f"schemas/{path.parent.name}/{path.name}: {str(error).strip()}",
            "correct it; a view may gain columns at its end: for other changes DROP VIEW it first",
        ) from None


def grant_reader(cursor: Cursor, settings: Settings) -> None:
    """Let the reader's role read schema ``report``, now and later, and nothing else.

    The connection is the owner's. What the views read elsewhere they read as their owner.
    """
    names = {
        "database": sql.Identifier(settings.postgres_database),
        "reader": sql.Identifier(settings.postgres_reader),
        "report": sql.Identifier(SCHEMA),
    }
    for statement in (
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        # The open position is small and looks large: compiling its plan would take longer than it.
        "ALTER DATABASE {database} SET jit = off",
        "GRANT CONNECT ON DATABASE {database} TO {reader}",
        "GRANT USAGE ON SCHEMA {report} TO {reader}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {report} TO {reader}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {report} GRANT SELECT ON TABLES TO {reader}",
    ):
        cursor.execute(sql.SQL(statement).format(**names))


def prune(connection: Connection, contract: Contract, before: datetime) -> datetime | None:
    """Fold the months that ended a lookback before ``before``, and delete them.

    Returns where the ledger begins now, None where there was nothing to fold. The lookback stays,
    so that every interval from ``before`` on can still be made again. Raises psycopg2's
    LockNotAvailable when a query of the facts holds it up: it may be tried again.
    """
    with transaction(connection) as cursor:
        lock_publishing(cursor, contract.type)
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        bounds = ledger.final_range(cursor, contract.type)
        begin = _new_begin(contract, bounds, before) if bounds else None
        if begin is not None:
            _fold(cursor, contract, begin)
            _delete(cursor, contract, begin)
    return begin


def _new_begin(contract: Contract, bounds: Interval, before: datetime) -> datetime | None:
    """The start of the month in which what must stay begins; None when nothing lies before it."""
    first = min(before - timedelta(hours=contract.lookback_hours), bounds.end)
    begin = facts.part(contract, first)[1].start
    return begin if begin > bounds.start else None


def _fold(cursor: Cursor, contract: Contract, cut: datetime) -> None:
    """Move sums of final days, and add the flow's of skipped intervals."""
    names = {
        "opening": aggregates.opening(contract).identifier,
        "final": aggregates.final(contract).identifier,
        "flow": sql.Identifier("speed", flow.flow_table(contract)),
        "window": sql.Identifier(contract.flow.window_column),
        "groups": identifiers(contract.flow.group_by),
        "measure": sql.Identifier(contract.measure[0]),
        "count": sql.Identifier(EVENT_COUNT),
    }
    cursor.execute(
        sql.SQL(
            "WITH old AS (DELETE FROM {final} WHERE arrival_day < (%(cut)s AT TIME ZONE 'UTC')"
            "  RETURNING {groups}, {measure}, {count})"
            " INSERT INTO {opening} AS o ({groups}, {measure}, {count}, note)"
            " SELECT {groups}, sum({measure}), sum({count}), %(note)s FROM ("
            "  SELECT * FROM old UNION ALL"
            "  SELECT {groups}, {measure}, {count} FROM {flow} JOIN ("
            "   SELECT start_at, end_at FROM control.interval"
            "   WHERE type = %(type)s AND attempt IS NULL AND start_at < %(cut)s"
            "  ) AS _skipped (_start, _end) ON {window} >= _start AND {window} < _end"
            " ) AS part GROUP BY {groups} ON CONFLICT ({groups}, note) DO UPDATE SET"
            " {measure} = o.{measure} + excluded.{measure}, {count} = o.{count} + excluded.{count}"
        ).format(**names),
        {"type": contract.type, "cut": cut, "note": FOLDED},
    )


def _delete(cursor: Cursor, contract: Contract, cut: datetime) -> None:
    facts.drop_parts(cursor, contract, cut)
    for table in (aggregates.interval(contract), aggregates.hourly(contract)):
        statement = sql.SQL("DELETE FROM {} WHERE interval_start < %s").format(table.identifier)
        cursor.execute(statement, [cut])
    ledger.prune(cursor, contract.type, cut)
    _delete_attempts(cursor, contract.type, cut)


def _delete_attempts(cursor: Cursor, event_type: str, before: datetime) -> None:
    """Delete attempts at nothing but what arrived before a time, with their conflicts and staging
    tables. The ledger must no longer name them."""
    cursor.execute(
        "SELECT attempt FROM control.attempt WHERE type = %s AND end_at <= %s",
        [event_type, before],
    )
    old = [number for (number,) in cursor.fetchall()]
    cursor.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename = ANY(%s)",
        [staging_table.SCHEMA, [f"{event_type}_{number}" for number in old]],
    )
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(staging_table.SCHEMA, name)))
    cursor.execute("DELETE FROM control.conflict WHERE attempt = ANY(%s)", [old])
    cursor.execute("DELETE FROM control.attempt WHERE attempt = ANY(%s)", [old])
