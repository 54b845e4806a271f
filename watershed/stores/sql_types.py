"""What a contract's fields are in PostgreSQL, and lists of names for statements."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg2 import sql

from watershed.contracts.model import Contract

SQL_TYPES = {
    "string": "text",
    "uuid": "uuid",
    "boolean": "boolean",
    "integer": "bigint",
    "timestamp": "timestamp with time zone",
}


def sql_type(contract: Contract, field: str) -> str:
    """The type of a field that groups or is summed: any but double."""
    declared = contract.fields[field]
    if declared.decimal:
        return f"numeric({declared.decimal[0]},{declared.decimal[1]})"
    return SQL_TYPES[declared.kind]


def sum_type(contract: Contract) -> str:
    """The type of sums of the flow's measure."""
    declared = contract.fields[contract.measure[1]]
    return f"numeric(38,{declared.decimal[1] if declared.decimal else 0})"


def identifiers(names: Iterable[str]) -> sql.Composed:
    """Names with commas between."""
    return listed(map(sql.Identifier, names))


def listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    """Parts of a statement with commas between."""
    return sql.SQL(", ").join(list(parts))
