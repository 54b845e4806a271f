"""A table of schema ``report``: declared here, made in PostgreSQL, with a comment on everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.stores.sql_types import TIME, identifiers, listed

SCHEMA = "report"
START = {"interval_start": (TIME, "Arrival time at which the interval begins")}


class SqlColumn(NamedTuple):
    """A column as PostgreSQL prints its type."""

    type: str
    nullable: bool


@dataclass(frozen=True)
class ReportTable:
    """Columns with PostgreSQL's type and a comment; those of ``key`` name a row.

    ``nullable`` columns may be null; a null is a value of the key like any other. A table that is
    ``parted`` by a column has no rows itself: the tables attached to it have.
    """

    name: str
    comment: str
    columns: Mapping[str, tuple[str, str]]
    key: tuple[str, ...]
    nullable: tuple[str, ...] = ()
    parted: str | None = None

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, self.name)

    @property
    def declared(self) -> dict[str, SqlColumn]:
        """What PostgreSQL says of the columns once the table is made."""
        return {
            name: SqlColumn(kind, name in self.nullable) for name, (kind, _) in self.columns.items()
        }


def columns(cursor: Cursor, name: str, schema: str = SCHEMA) -> dict[str, SqlColumn]:
    """The columns of a table in their order; none when there is no such table."""
    cursor.execute(
        "SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull FROM pg_attribute"
        " WHERE attrelid = to_regclass(format('%%I.%%I', %s, %s)) AND attnum > 0"
        " AND NOT attisdropped ORDER BY attnum",
        [schema, name],
    )
    return {column: SqlColumn(*rest) for column, *rest in cursor.fetchall()}


def create(cursor: Cursor, table: ReportTable) -> None:
    """Make a table."""
    declared = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(name), sql.SQL(kind), sql.SQL("" if nullable else " NOT NULL")
        )
        for name, (kind, nullable) in table.declared.items()
    ]
    may_be_null = set(table.key) & set(table.nullable)
    key = sql.SQL("UNIQUE NULLS NOT DISTINCT" if may_be_null else "PRIMARY KEY")
    parted = sql.SQL("PARTITION BY RANGE ({})") if table.parted else sql.SQL("")
    cursor.execute(
        sql.SQL("CREATE TABLE {} ({}, {} ({})) {}").format(
            table.identifier,
            listed(declared),
            key,
            identifiers(table.key),
            parted.format(sql.Identifier(table.parted or "")),
        )
    )


def comment(cursor: Cursor, kind: str, name: str, text: str, columns: Mapping[str, str]) -> None:
    """Say what a table or view, and each of its columns, is."""
    cursor.execute(
        sql.SQL("COMMENT ON {} {} IS %s").format(sql.SQL(kind), sql.Identifier(SCHEMA, name)),
        [text],
    )
    for column, meaning in columns.items():
        statement = sql.SQL("COMMENT ON COLUMN {} IS %s")
        cursor.execute(statement.format(sql.Identifier(SCHEMA, name, column)), [meaning])


def comment_table(cursor: Cursor, table: ReportTable) -> None:
    """Say what a table and its columns are."""
    meanings = {name: text for name, (_, text) in table.columns.items()}
    comment(cursor, "TABLE", table.name, table.comment, meanings)
