"""What is added up per interval when it is published: tables that every contract's report has.

``<type>_interval`` compares batch and flow, ``<type>_hourly`` has the sums that queries ask for,
``<type>_final`` their running total, ``<type>_opening`` what was there before. All are in schema
``report``. Sums are kept by interval, so that a late event adds to its old hour and a second run
of an interval replaces what the first one brought, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.batch import facts
from watershed.batch.facts import TIME, report_of
from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.speed import flow
from watershed.stores.sql_types import identifiers, listed, sql_type, sum_type

COUNT = flow.COUNT
START = {"interval_start": (TIME, "Arrival time at which the interval begins")}
GROUP = "As the flow groups it"


@dataclass(frozen=True)
class Generated:
    """A table: columns with PostgreSQL's type and a comment; those of ``key`` name a row.

    ``nullable`` columns may be null; a null is a value of the key like any other.
    """

    name: str
    comment: str
    columns: dict[str, tuple[str, str]]
    key: tuple[str, ...]
    nullable: tuple[str, ...] = ()

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(facts.SCHEMA, self.name)


def interval(contract: Contract) -> Generated:
    """Batch and flow side by side, per interval and group of the flow."""
    measure, amount = contract.measure[0], sum_type(contract)
    return Generated(
        f"{contract.type}_interval",
        "Batch, removed duplicates and flow per final interval and group",
        {
            **START,
            **_groups(contract),
            measure: (amount, "Sum over the facts"),
            COUNT: ("bigint", "Facts"),
            f"duplicate_{measure}": (amount, "Sum over repeated events, which are no facts"),
            "duplicate_count": ("bigint", "Repeated events"),
            f"flow_{measure}": (amount, "What the flow had when the interval was published"),
            "flow_count": ("bigint", "Events that the flow had"),
        },
        ("interval_start", *contract.flow.group_by),
    )


def final(contract: Contract) -> Generated:
    """The total of all published intervals, per day of arrival and group of the flow.

    By day, so that a past position is the sum of days, and of intervals of one day.
    """
    measure = contract.measure[0]
    return Generated(
        f"{contract.type}_final",
        "Sum over the facts that arrived on a day: over all days, the final position",
        {
            "arrival_day": ("date", "Day of arrival, UTC"),
            **_groups(contract),
            measure: (sum_type(contract), "Sum over the facts"),
            COUNT: ("bigint", "Facts"),
        },
        ("arrival_day", *contract.flow.group_by),
    )


def opening(contract: Contract) -> Generated:
    """What was there before the first interval, entered or folded, per group of the flow."""
    measure = contract.measure[0]
    return Generated(
        f"{contract.type}_opening",
        "Opening balance: entered, or folded from history that was pruned",
        {
            **_groups(contract),
            measure: (sum_type(contract), "What to add to the sums that follow"),
            COUNT: ("bigint", "Events behind it; 0 for a balance that was entered"),
            "note": ("text", "Where it comes from"),
        },
        (*contract.flow.group_by, "note"),
    )


def hourly(cursor: Cursor, contract: Contract) -> Generated:
    """Sums of facts by the hour they happened in, per interval that brought them."""
    types = facts.columns(cursor, contract.type)
    said = report_of(contract).hourly
    return Generated(
        f"{contract.type}_hourly",
        "Sums by hour of event time, per interval that brought them: add up the intervals",
        {
            **START,
            "event_hour": (TIME, "Hour of event time, UTC"),
            **{name: (types[name].type, "As in the facts") for name in said.group_by},
            **{name: (_sum_type(types[name].type), "Sum; null where every value is")
               for name in said.sum},
            COUNT: ("bigint", "Facts"),
        },
        ("event_hour", *said.group_by, "interval_start"),
        (*said.group_by, *said.sum),
    )  # fmt: skip


def ensure_tables(cursor: Cursor, contract: Contract) -> None:
    """Make the four tables; refuse ones that a different contract made."""
    by_interval, by_hour = interval(contract), hourly(cursor, contract)
    for one in (by_interval, by_hour, final(contract), opening(contract)):
        _ensure(cursor, one)
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
    cursor: Cursor, table: Generated, expressions: Iterable[sql.Composable]
) -> None:
    """Let the planner know these values, else it thinks that none is 0: at once, where the table
    is full already."""
    wanted = {f"{table.name}_difference_{n}": one for n, one in enumerate(expressions)}
    for name, expression in wanted.items():
        cursor.execute(
            sql.SQL("CREATE STATISTICS IF NOT EXISTS {} ON ({}) FROM {}").format(
                sql.Identifier(facts.SCHEMA, name), expression, table.identifier
            )
        )
    cursor.execute(
        "SELECT statistics_name FROM pg_stats_ext_exprs"
        " WHERE statistics_schemaname = %s AND null_frac IS NOT NULL",
        [facts.SCHEMA],
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
        "count": sql.Identifier(COUNT),
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
    ), difference.format(*map(sql.Identifier, (COUNT, "duplicate_count", "flow_count")))


def _ensure(cursor: Cursor, generated: Generated) -> None:
    wanted = {name: kind for name, (kind, _) in generated.columns.items()}
    found = {c: one.type for c, one in facts.columns(cursor, generated.name).items()}
    if found and found != wanted:
        raise StoreError(
            f"report.{generated.name} has other columns than the contract's report",
            "undo the change, or DROP TABLE it, with CASCADE, and ./ws down, ./ws up, ./ws rebuild"
            " report make and fill it again",
        )
    if not found:
        cursor.execute(_create(generated))
    cursor.execute(
        sql.SQL("COMMENT ON TABLE {} IS %s").format(generated.identifier), [generated.comment]
    )
    for name, (_, comment) in generated.columns.items():
        column = sql.Identifier(facts.SCHEMA, generated.name, name)
        cursor.execute(sql.SQL("COMMENT ON COLUMN {} IS %s").format(column), [comment])


def _create(generated: Generated) -> sql.Composed:
    declared = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(name),
            sql.SQL(kind),
            sql.SQL("" if name in generated.nullable else " NOT NULL"),
        )
        for name, (kind, _) in generated.columns.items()
    ]
    key = sql.SQL("UNIQUE NULLS NOT DISTINCT" if generated.nullable else "PRIMARY KEY")
    return sql.SQL("CREATE TABLE {} ({}, {} ({}))").format(
        generated.identifier, listed(declared), key, identifiers(generated.key)
    )


def _groups(contract: Contract) -> dict[str, tuple[str, str]]:
    return {c: (sql_type(contract, f), GROUP) for c, f in contract.flow.group_by.items()}


def _sum_type(fact: str) -> str:
    """Room for the sum of a fact's column; doubles stay what they are."""
    if not fact.startswith("numeric("):
        return "double precision" if fact.startswith("double") else "numeric(38,0)"
    return f"numeric(38,{fact.removesuffix(')').rpartition(',')[2]})"
