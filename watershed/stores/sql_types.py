"""What a contract's types are in PostgreSQL, and lists of names for statements."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg2 import sql

from watershed.contracts.model import Contract, decimal_of

TIME = "timestamp with time zone"
SQL_TYPES = {
    "string": "text",
    "uuid": "uuid",
    "boolean": "boolean",
    "integer": "bigint",
    "double": "double precision",
    "timestamp": TIME,
    "date": "date",
}


def sql_type(declared: str) -> str:
    """The type of a field or column, as PostgreSQL prints it."""
    decimal = decimal_of(declared)
    return f"numeric({decimal[0]},{decimal[1]})" if decimal else SQL_TYPES[declared]


def sum_type(declared: str) -> str:
    """The type of the sum of a decimal or an integer."""
    decimal = decimal_of(declared)
    return f"numeric(38,{decimal[1] if decimal else 0})"


def measure_type(contract: Contract) -> str:
    """The type of sums of the flow's measure."""
    return sum_type(contract.fields[contract.measure[1]].type)


def identifiers(names: Iterable[str]) -> sql.Composed:
    """Names with commas between."""
    return listed(map(sql.Identifier, names))


def listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    """Parts of a statement with commas between."""
    return sql.SQL(", ").join(list(parts))
