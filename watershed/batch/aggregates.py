"""What is added up per interval when it is published: tables that every contract's report has.

``<type>_interval`` compares batch and flow, ``<type>_hourly`` has the sums that queries ask for,
``<type>_final`` their running total, ``<type>_opening`` what was there before. All are in schema
``report``. Sums are kept by interval, so that a late event adds to its old hour and a second run
of an interval replaces what the first one brought, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.batch import report_table
from watershed.batch.report_table import SCHEMA, START, ReportTable
from watershed.contracts.derived import EVENT_COUNT
from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.stores.sql_types import TIME, identifiers, measure_type, sql_type, sum_type

Columns = dict[str, tuple[str, str]]


def interval(contract: Contract) -> ReportTable:
    """Batch and flow side by side, per interval and group of the flow."""
    measure, amount = contract.measure[0], measure_type(contract)
    return ReportTable(
        f"{contract.type}_interval",
        "Batch, removed duplicates and flow per final interval and group",
        {
            **START,
            **_groups(contract),
            measure: (amount, "Sum over the facts"),
            EVENT_COUNT: ("bigint", "Facts"),
            f"duplicate_{measure}": (amount, "Sum over repeated events, which are no facts"),
            "duplicate_count": ("bigint", "Repeated events"),
            f"flow_{measure}": (amount, "What the flow had when the interval was published"),
            "flow_count": ("bigint", "Events that the flow had"),
        },
        ("interval_start", *contract.flow.group_by),
    )


def final(contract: Contract) -> ReportTable:
    """The total of all published intervals, per day of arrival and group of the flow.

    By day, so that a past position is the sum of days, and of intervals of one day.
    """
    measure = contract.measure[0]
    return ReportTable(
        f"{contract.type}_final",
        "Sum over the facts that arrived on a day: over all days, the final position",
        {
            "arrival_day": ("date", "Day of arrival, UTC"),
            **_groups(contract),
            measure: (measure_type(contract), "Sum over the facts"),
            EVENT_COUNT: ("bigint", "Facts"),
        },
        ("arrival_day", *contract.flow.group_by),
    )


def opening(contract: Contract) -> ReportTable:
    """What was there before the first interval, entered or folded, per group of the flow."""
    measure = contract.measure[0]
    return ReportTable(
        f"{contract.type}_opening",
        "Opening balance: entered, or folded from history that was pruned",
        {
            **_groups(contract),
            measure: (measure_type(contract), "What to add to the sums that follow"),
            EVENT_COUNT: ("bigint", "Events behind it; 0 for a balance that was entered"),
            "note": ("text", "Where it comes from"),
        },
        (*contract.flow.group_by, "note"),
    )


def hourly(contract: Contract) -> ReportTable:
    """Sums of facts by the hour they happened in, per interval that brought them."""
    groups, sums = hourly_columns(contract)
    return ReportTable(
        f"{contract.type}_hourly",
        "Sums by hour of event time, per interval that brought them: add up the intervals",
        {
            **START,
            "event_hour": (TIME, "Hour of event time, UTC"),
            **groups,
            **sums,
            EVENT_COUNT: ("bigint", "Facts"),
        },
        ("event_hour", *groups, "interval_start"),
        (*groups, *sums),
    )


def hourly_columns(contract: Contract) -> tuple[Columns, Columns]:
    """What the hourly sums are divided by, and the sums; a sum is null where every value is."""
    described = contract.columns
    groups = {
        name: (sql_type(described[name].type), described[name].description)
        for name in contract.hourly.group_by
    }
    sums = {
        name: (sum_type(described[name].type), f"Sum. {described[name].description}")
        for name in contract.hourly.sum
    }
    return groups, sums


def ensure_tables(cursor: Cursor, contract: Contract) -> None:
    """Make the four tables; refuse ones that a different contract made."""
    by_interval, by_hour = interval(contract), hourly(contract)
    for table in (by_interval, by_hour, final(contract), opening(contract)):
        _ensure(cursor, table)
    cursor.execute(
        sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} (interval_start)").format(
            sql.Identifier(f"{by_hour.name}_interval_start"), by_hour.identifier
        )
    )
    cursor.execute(
        sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} (interval_start) WHERE {}").format(
            sql.Identifier(f"{by_interval.name}_unexplained"),
            by_interval.identifier,
            unexplained(contract),
        )
    )
    _ensure_statistics(cursor, by_interval, differences(contract))


def _ensure_statistics(
    cursor: Cursor, table: ReportTable, expressions: Iterable[sql.Composable]
) -> None:
    """Let the planner know these values, else it thinks that none is 0: at once, where the table
    is full already."""
    wanted = {f"{table.name}_difference_{n}": one for n, one in enumerate(expressions)}
    for name, expression in wanted.items():
        cursor.execute(
            sql.SQL("CREATE STATISTICS IF NOT EXISTS {} ON ({}) FROM {}").format(
                sql.Identifier(SCHEMA, name), expression, table.identifier
            )
        )
    cursor.execute(
        "SELECT statistics_name FROM pg_stats_ext_exprs"
        " WHERE statistics_schemaname = %s AND null_frac IS NOT NULL",
        [SCHEMA],
    )
    if not wanted.keys() <= {name for (name,) in cursor.fetchall()}:
        cursor.execute(sql.SQL("ANALYZE {}").format(table.identifier))


def add_final(cursor: Cursor, contract: Contract, deltas: sql.Composable, values: Any) -> None:
    """Add a query's interval_start, groups, values and events to the totals."""
    names = {
        "final": final(contract).identifier,
        "deltas": deltas,
        "groups": identifiers(contract.flow.group_by),
        "measure": sql.Identifier(contract.measure[0]),
        "count": sql.Identifier(EVENT_COUNT),
    }
    cursor.execute(
        sql.SQL(
            "INSERT INTO {final} AS s (arrival_day, {groups}, {measure}, {count})"
            " SELECT (interval_start AT TIME ZONE 'UTC')::date, {groups}, sum({measure}),"
            "  sum({count})"
            " FROM ({deltas}) AS delta (interval_start, {groups}, {measure}, {count})"
            " GROUP BY 1, {groups} ON CONFLICT (arrival_day, {groups}) DO UPDATE SET"
            " {measure} = s.{measure} + excluded.{measure}, {count} = s.{count} + excluded.{count}"
        ).format(**names),
        values,
    )
    cursor.execute(sql.SQL("DELETE FROM {final} WHERE {count} = 0").format(**names))


def unexplained(contract: Contract) -> sql.Composed:
    """The condition that a row of ``<type>_interval`` has drift which no duplicate explains."""
    value, count = differences(contract)
    return sql.SQL("({} <> 0 OR {} <> 0)").format(value, count)


def differences(contract: Contract) -> tuple[sql.Composed, sql.Composed]:
    """What no duplicate explains, in value and count, written as a view would compute it: who asks
    there for what is not 0 finds the index."""
    measure = contract.measure[0]
    difference = sql.SQL("({} + {} - {})")
    return difference.format(
        *map(sql.Identifier, (measure, f"duplicate_{measure}", f"flow_{measure}"))
    ), difference.format(*map(sql.Identifier, (EVENT_COUNT, "duplicate_count", "flow_count")))


def _ensure(cursor: Cursor, table: ReportTable) -> None:
    has = report_table.columns(cursor, table.name)
    if has and has != table.declared:
        raise StoreError(
            f"report.{table.name} has other columns than the contract's report",
            "undo the change, or DROP TABLE it, with CASCADE, and ./ws down, ./ws up, ./ws rebuild"
            " report make and fill it again",
        )
    if not has:
        report_table.create(cursor, table)
    report_table.comment_table(cursor, table)


def _groups(contract: Contract) -> Columns:
    return {
        column: (sql_type(contract.fields[field].type), contract.fields[field].description)
        for column, field in contract.flow.group_by.items()
    }
