"""Reconciliation of the two layers: batch, removed duplicates and flow of published intervals."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.batch import aggregates
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract


class UnexplainedSum(NamedTuple):
    """What batch and removed duplicates have more than the flow, in one interval and group."""

    interval_start: datetime
    groups: tuple[Any, ...]
    value: Decimal
    events: int


class Reconciled(NamedTuple):
    """What was compared: rows of interval and group, duplicates that explain a difference."""

    compared: int
    duplicates: int
    unexplained: list[UnexplainedSum]


def reconcile(cursor: Cursor, contract: Contract, within: Interval) -> Reconciled:
    """Compare the published intervals that begin in a range."""
    compared, duplicates = _count(cursor, contract, within)
    return Reconciled(compared, duplicates, _unexplained(cursor, contract, within))


def _count(cursor: Cursor, contract: Contract, within: Interval) -> tuple[int, int]:
    cursor.execute(
        sql.SQL(
            "SELECT count(*), coalesce(sum(duplicate_count), 0)::bigint FROM {}"
            " WHERE interval_start >= %s AND interval_start < %s"
        ).format(aggregates.interval(contract).identifier),
        list(within),
    )
    compared, duplicates = cursor.fetchone() or (0, 0)
    return compared, duplicates


def _unexplained(cursor: Cursor, contract: Contract, within: Interval) -> list[UnexplainedSum]:
    groups = [sql.Identifier(column) for column in contract.flow.group_by]
    value, events = aggregates.differences(contract)
    cursor.execute(
        sql.SQL(
            "SELECT interval_start, {groups}, {value}, {events} FROM {table}"
            " WHERE interval_start >= %s AND interval_start < %s"
            " AND {unexplained} ORDER BY interval_start, {groups}"
        ).format(
            groups=sql.SQL(", ").join(groups),
            value=value,
            events=events,
            unexplained=aggregates.unexplained(contract),
            table=aggregates.interval(contract).identifier,
        ),
        list(within),
    )
    return [UnexplainedSum(row[0], tuple(row[1:-2]), *row[-2:]) for row in cursor.fetchall()]
