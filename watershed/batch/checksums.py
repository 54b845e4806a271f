"""What tells two states of a table apart, whatever order its rows are in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.batch import aggregates, facts
from watershed.contracts.model import Contract

HASHED = sql.SQL(
    "count(*), mod(coalesce(sum(hashtextextended(found::text, 0)::numeric), 0),"
    " 18446744073709551616)"
)


def checksum(
    cursor: Cursor,
    table: sql.Identifier,
    where: sql.Composable = sql.SQL("TRUE"),  # noqa: B008  # immutable
    values: Any = (),
) -> str:
    """``rows-sum``: how many rows there are, and the sum of their hashes modulo 2^64.

    The same rows give the same text in any order, in sessions of the time zone UTC.
    """
    cursor.execute(
        sql.SQL("SELECT {} FROM {} AS found WHERE {}").format(HASHED, table, where), values
    )
    return _text(*cursor.fetchone())  # type: ignore[misc]  # an aggregate gives one row


def checksums_by(cursor: Cursor, table: sql.Identifier, column: str, least: Any) -> dict[Any, str]:
    """The checksum of the rows of each value of a column, from ``least`` on."""
    cursor.execute(
        sql.SQL("SELECT {by}, {} FROM {} AS found WHERE {by} >= %s GROUP BY {by}").format(
            HASHED, table, by=sql.Identifier(column)
        ),
        [least],
    )
    return {value: _text(*hashed) for value, *hashed in cursor.fetchall()}


def _text(rows: int, total: Decimal) -> str:
    return f"{rows}-{int(total) % 2**64:016x}"


def checksums(cursor: Cursor, contract: Contract) -> dict[str, str]:
    """The checksum of every table of the contract's report, by name; in one transaction's view."""
    tables = [
        aggregates.interval(contract).name,
        aggregates.hourly(cursor, contract).name,
        aggregates.final(contract).name,
        aggregates.opening(contract).name,
    ]
    return {
        name: checksum(cursor, sql.Identifier(facts.SCHEMA, name))
        for name in (contract.type, *tables)
    }
