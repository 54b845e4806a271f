"""Checksums of tables, which tell two states apart whatever order the rows are in.

A checksum is ``rows-sum``: how many rows there are, and the sum of the hashes of their text modulo
2^64. That of facts is ``rows-sum-columns``: it is of the columns that the table had first, so that
a column that is added later changes no checksum that the ledger has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.batch import aggregates, facts, report_table
from watershed.contracts.model import Contract
from watershed.stores.sql_types import identifiers

HASHED = sql.SQL(
    "count(*), mod(coalesce(sum(hashtextextended({}::text, 0)::numeric), 0), 18446744073709551616)"
)


def checksum(
    cursor: Cursor,
    table: sql.Identifier,
    where: sql.Composable = sql.SQL("TRUE"),  # noqa: B008  # immutable
    values: Any = (),
) -> str:
    """The checksum of a table's rows, in sessions of the time zone UTC."""
    hashed = HASHED.format(sql.SQL("found"))
    cursor.execute(
        sql.SQL("SELECT {} FROM {} AS found WHERE {}").format(hashed, table, where), values
    )
    return _text(*cursor.fetchone())  # type: ignore[misc]  # an aggregate gives one row


def of_interval(cursor: Cursor, contract: Contract, start: datetime) -> str:
    """The checksum of an interval's facts, of all columns."""
    own = sql.SQL("interval_start = %s")
    columns = len(report_table.columns(cursor, contract.type))
    return f"{checksum(cursor, facts.table(contract), own, [start])}-{columns}"


def of_intervals(
    cursor: Cursor, contract: Contract, published: Mapping[datetime, str], since: datetime
) -> dict[datetime, str]:
    """The checksum of the facts of each interval from ``since`` on that has any.

    Of as many columns as the published one is.
    """
    names = list(report_table.columns(cursor, contract.type))
    widths = {start: _columns(text) for start, text in published.items()}
    stored: dict[datetime, str] = {}
    for width in set(widths.values()) or {len(names)}:
        for start, text in _by_interval(cursor, contract, names[:width], since):
            if widths.get(start, width) == width:
                stored[start] = f"{text}-{width}"
    return stored


def _columns(published: str) -> int:
    return int(published.rpartition("-")[2])


def _by_interval(
    cursor: Cursor, contract: Contract, names: list[str], since: datetime
) -> Iterable[tuple[datetime, str]]:
    hashed = HASHED.format(sql.SQL("ROW({})").format(identifiers(names)))
    cursor.execute(
        sql.SQL(
            "SELECT interval_start, {} FROM {} WHERE interval_start >= %s GROUP BY interval_start"
        ).format(hashed, facts.table(contract)),
        [since],
    )
    return [(start, _text(*rest)) for start, *rest in cursor.fetchall()]


def _text(rows: int, total: Decimal) -> str:
    return f"{rows}-{int(total) % 2**64:016x}"


def checksums(cursor: Cursor, contract: Contract) -> dict[str, str]:
    """The checksum of every table of the contract's report, by name."""
    tables = [
        aggregates.interval(contract).name,
        aggregates.hourly(contract).name,
        aggregates.final(contract).name,
        aggregates.opening(contract).name,
    ]
    return {
        name: checksum(cursor, sql.Identifier(report_table.SCHEMA, name))
        for name in (contract.type, *tables)
    }
