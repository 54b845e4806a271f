"""The speed layer's sums: the flow by window and group, and the position that runs on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from watershed.contracts.derived import EVENT_COUNT
from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.stores.sql_types import TIME, identifiers, listed, measure_type, sql_type

FINAL = sql.SQL(
    "_flow.{window} < coalesce("
    " (SELECT max(end_at) FROM control.interval WHERE type = %(type)s AND end_at <= %(before)s),"
    " (SELECT least(final_from, %(before)s) FROM control.stream"
    "  WHERE type = %(type)s AND final_from IS NOT NULL))"
    " AND NOT EXISTS (SELECT FROM control.interval WHERE type = %(type)s AND attempt IS NULL"
    "  AND start_at <= _flow.{window} AND end_at > _flow.{window})"
)
"""Windows of whole intervals that end before a time, but for skipped ones; those before the
ledger are in the opening balance."""
EXACT_DIGITS = 76  # twice what PostgreSQL's numeric(38, s) and Spark's decimals hold


class Sum(NamedTuple):
    """What a batch adds to one window and group. ``groups`` are in the contract's order."""

    window: Any
    groups: tuple[Any, ...]
    value: Decimal
    events: int


class GroupPosition(NamedTuple):
    """The running sum of one group."""

    groups: tuple[Any, ...]
    value: Decimal
    events: int


def flow_table(contract: Contract) -> str:
    """The flow's table, in schema ``speed``."""
    return f"{contract.type}_flow"


def position_table(contract: Contract) -> str:
    """The position's table, in schema ``speed``."""
    return f"{contract.type}_position"


def ensure_tables(cursor: Cursor, contract: Contract) -> None:
    """Make both tables; refuse ones that a different contract made."""
    groups = {
        column: sql_type(contract.fields[field].type)
        for column, field in contract.flow.group_by.items()
    }
    sums = {contract.measure[0]: measure_type(contract), EVENT_COUNT: "bigint"}
    window = {contract.flow.window_column: TIME}
    position = {column: groups[column] for column in contract.position.group_by}
    _ensure(cursor, flow_table(contract), window | groups, sums)
    _ensure(cursor, position_table(contract), position, sums)


def _ensure(cursor: Cursor, table: str, key: dict[str, str], rest: dict[str, str]) -> None:
    columns = key | rest
    declared = [
        sql.SQL("{} {} NOT NULL").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind in columns.items()
    ]
    cursor.execute(
        sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))").format(
            sql.Identifier("speed", table), listed(declared), identifiers(list(key))
        )
    )
    cursor.execute(
        "SELECT column_name, CASE WHEN data_type = 'numeric' THEN"
        " format('numeric(%%s,%%s)', numeric_precision, numeric_scale) ELSE data_type END"
        " FROM information_schema.columns WHERE table_schema = 'speed' AND table_name = %s",
        [table],
    )
    if dict(cursor.fetchall()) != columns:
        raise StoreError(
            f"speed.{table} has other columns than the contract's flow",
            "undo the change of flow or position, or declare a new type",
        )


def add(cursor: Cursor, contract: Contract, sums: list[Sum]) -> list[GroupPosition]:
    """Add a batch's sums to flow and position; the positions that changed."""
    _add_flow(cursor, contract, sums)
    return _add_positions(cursor, contract, sums)


def _add_flow(cursor: Cursor, contract: Contract, sums: list[Sum]) -> None:
    key = [contract.flow.window_column, *contract.flow.group_by]
    rows = [(s.window, *s.groups, s.value, s.events) for s in sums]
    _upsert(cursor, contract, flow_table(contract), key, rows)


def _add_positions(cursor: Cursor, contract: Contract, sums: list[Sum]) -> list[GroupPosition]:
    rows = [(*p.groups, p.value, p.events) for p in _by_position(contract, sums)]
    key = list(contract.position.group_by)
    changed = _upsert(cursor, contract, position_table(contract), key, rows)
    return [GroupPosition(tuple(row[:-2]), *row[-2:]) for row in changed]


def replace(cursor: Cursor, contract: Contract, first: datetime | None, sums: list[Sum]) -> None:
    """Put ``sums`` in place of the flow's windows from ``first`` on, or of all.

    Where older windows stay, the positions change by the difference.
    """
    old: list[Sum] = []
    if first is None:
        _delete(cursor, flow_table(contract), "TRUE", [])
        _delete(cursor, position_table(contract), "TRUE", [])
    else:
        old = stored(cursor, contract, first)
        later = sql.SQL("{} >= %s").format(sql.Identifier(contract.flow.window_column))
        _delete(cursor, flow_table(contract), later, [first])
    _add_flow(cursor, contract, sums)
    gone = [one._replace(value=-one.value, events=-one.events) for one in old]
    _add_positions(cursor, contract, [*gone, *sums])
    _delete(cursor, position_table(contract), f"{EVENT_COUNT} = 0", [])


def prune(cursor: Cursor, contract: Contract, before: datetime) -> None:
    """Delete the flow's windows before a time; positions keep what they brought.

    Of a contract with a report, only windows that a final interval contains, whose ledger row
    has their sums: the open position needs the others.
    """
    window = sql.Identifier(contract.flow.window_column)
    if contract.report is None:
        earlier = sql.SQL("{} < %s").format(window)
        _delete(cursor, flow_table(contract), earlier, [before])
        return
    _delete(cursor, flow_table(contract), FINAL.format(window=window), {
        "type": contract.type, "before": before,
    })  # fmt: skip


def _delete(cursor: Cursor, table: str, where: str | sql.Composable, values: Any) -> None:
    condition = sql.SQL(where) if isinstance(where, str) else where
    statement = sql.SQL("DELETE FROM {} AS _flow WHERE {}").format(
        sql.Identifier("speed", table), condition
    )
    cursor.execute(statement, values)


def positions(cursor: Cursor, contract: Contract) -> list[GroupPosition]:
    """The position of every group."""
    columns = identifiers([*contract.position.group_by, contract.measure[0], EVENT_COUNT])
    table = sql.Identifier("speed", position_table(contract))
    cursor.execute(sql.SQL("SELECT {} FROM {}").format(columns, table))
    return [GroupPosition(tuple(row[:-2]), *row[-2:]) for row in cursor.fetchall()]


def stored(cursor: Cursor, contract: Contract, first: datetime) -> list[Sum]:
    """The flow's windows from ``first`` on."""
    window = contract.flow.window_column
    names = [window, *contract.flow.group_by, contract.measure[0], EVENT_COUNT]
    cursor.execute(
        sql.SQL("SELECT {} FROM {} WHERE {} >= %s").format(
            identifiers(names),
            sql.Identifier("speed", flow_table(contract)),
            sql.Identifier(window),
        ),
        [first],
    )
    return [Sum(row[0], tuple(row[1:-2]), *row[-2:]) for row in cursor.fetchall()]


def oldest(cursor: Cursor, contract: Contract) -> datetime | None:
    """The flow's first window."""
    window = sql.Identifier(contract.flow.window_column)
    cursor.execute(
        sql.SQL("SELECT min({}) FROM {}").format(
            window, sql.Identifier("speed", flow_table(contract))
        )
    )
    [found] = cursor.fetchone() or [None]
    return found


def sum_of(cursor: Cursor, contract: Contract, window: Any, groups: tuple[Any, ...]) -> Sum | None:
    """One row of the flow; None when there is none."""
    key = [contract.flow.window_column, *contract.flow.group_by]
    query = sql.SQL("SELECT {} FROM {} WHERE {}").format(
        identifiers([contract.measure[0], EVENT_COUNT]),
        sql.Identifier("speed", flow_table(contract)),
        sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in key),
    )
    cursor.execute(query, [window, *groups])
    found = cursor.fetchone()
    return Sum(window, groups, *found) if found else None


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum: Python's usual 28 digits would round what numeric(38, s) can hold."""
    with localcontext(prec=EXACT_DIGITS):
        return sum(values, Decimal(0))


def _by_position(contract: Contract, sums: list[Sum]) -> list[GroupPosition]:
    columns = [list(contract.flow.group_by).index(c) for c in contract.position.group_by]
    found: dict[tuple[Any, ...], list[Sum]] = defaultdict(list)
    for each in sums:
        found[tuple(each.groups[column] for column in columns)].append(each)
    return [
        GroupPosition(
            groups, total(s.value for s in found[groups]), sum(s.events for s in found[groups])
        )
        for groups in sorted(found)
    ]


def _upsert(
    cursor: Cursor, contract: Contract, table: str, key: list[str], rows: list[Any]
) -> list[Any]:
    """Add ``rows`` (key, value, count) to what the table has; the rows as they are then."""
    if not rows:
        return []
    measure = sql.Identifier(contract.measure[0])
    statement = sql.SQL(
        "INSERT INTO {table} AS t ({columns}) VALUES %s ON CONFLICT ({key}) DO UPDATE"
        " SET {measure} = t.{measure} + excluded.{measure}, {count} = t.{count} + excluded.{count}"
        " RETURNING {columns}"
    ).format(
        table=sql.Identifier("speed", table),
        columns=identifiers([*key, contract.measure[0], EVENT_COUNT]),
        key=identifiers(key),
        measure=measure,
        count=sql.Identifier(EVENT_COUNT),
    )
    found: list[Any] = execute_values(cursor, statement, sorted(rows), fetch=True)
    return found
