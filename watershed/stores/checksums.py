"""What tells two states of a table apart, whatever order its rows are in."""

from __future__ import annotations

from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.stores import aggregates, facts


def checksum(
    connection: Connection,
    table: sql.Identifier,
    where: sql.Composable = sql.SQL("TRUE"),  # noqa: B008  # immutable
    values: Any = (),
) -> str:
    """``rows-sum``: how many rows there are, and the sum of their hashes modulo 2^64.

    The same rows give the same text in any order, in sessions of the time zone UTC.
    """
    cursor = connection.cursor()
    cursor.execute(
        sql.SQL(
            "SELECT count(*), mod(coalesce(sum(hashtextextended(found::text, 0)::numeric), 0),"
            " 18446744073709551616) FROM {} AS found WHERE {}"
        ).format(table, where),
        values,
    )
    rows, total = cursor.fetchone()  # type: ignore[misc]  # an aggregate gives one row
    return f"{rows}-{int(total) % 2**64:016x}"


def checksums(connection: Connection, contract: Contract) -> dict[str, str]:
    """The checksum of every table of the contract's report, by name; in one transaction's view."""
    tables = [
        aggregates.interval(contract).name,
        aggregates.hourly(connection, contract).name,
        aggregates.settled(contract).name,
        aggregates.opening(contract).name,
    ]
    return {
        name: checksum(connection, sql.Identifier(facts.SCHEMA, name))
        for name in (contract.type, *tables)
    }
