"""The fact table of a contract, ``report.<type>``: every final event once, enriched.

``schemas/<type>/report.sql`` declares it, in its first statement, partitioned by the interval's
start. Here are the columns that every such table has, and its months: the tables behind it, of
which retention drops whole ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from psycopg2 import sql
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract, Report
from watershed.errors import StoreError
from watershed.stores.postgres import transaction

SCHEMA = "report"
PARTS = "report_parts"
TIME = "timestamp with time zone"
PIPELINE = {
    "interval_start": TIME,
    "arrival_time": TIME,
    "topic_id": "text",
    "kafka_partition": "integer",
    "kafka_offset": "bigint",
    "payload_hash": "bigint",
    "unmatched": "text[]",
}
"""Columns that every fact table has beside those of enrich.sql, with PostgreSQL's types."""


class Column(NamedTuple):
    """A column as PostgreSQL prints its type."""

    type: str
    nullable: bool


def table(contract: Contract) -> sql.Identifier:
    """The fact table, as SQL."""
    return sql.Identifier(SCHEMA, contract.type)


def report_of(contract: Contract) -> Report:
    """What the contract reports. Raises StoreError when it reports nothing."""
    if contract.report is None:
        raise StoreError(f"{contract.type} has no report", "declare `report` in its contract")
    return contract.report


def columns(cursor: Cursor, name: str, schema: str = SCHEMA) -> dict[str, Column]:
    """The columns of a table in their order; none when there is no such table."""
    cursor.execute(
        "SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull FROM pg_attribute"
        " WHERE attrelid = to_regclass(format('%%I.%%I', %s, %s)) AND attnum > 0"
        " AND NOT attisdropped ORDER BY attnum",
        [schema, name],
    )
    return {column: Column(*rest) for column, *rest in cursor.fetchall()}


def _check_columns(cursor: Cursor, contract: Contract) -> None:
    """Raise StoreError unless the table has what publishing writes and reads, and has parts."""
    found = columns(cursor, contract.type)
    report = report_of(contract)
    needed = [contract.event_id, contract.event_time, contract.measure[1]]
    needed += [*contract.flow.group_by.values(), *report.hourly.group_by, *report.hourly.sum]
    missing = [f"{name} {kind}" for name, kind in PIPELINE.items()
               if name not in found or found[name].type != kind]  # fmt: skip
    missing += [name for name in dict.fromkeys(needed) if name not in found]
    cursor.execute("SELECT pg_get_partkeydef(%s::regclass)", [f"{SCHEMA}.{contract.type}"])
    [partitioned] = cursor.fetchone() or [None]
    if missing or partitioned != "RANGE (interval_start)":
        raise StoreError(
            f"schemas/{contract.type}/report.sql: report.{contract.type} lacks"
            f" {', '.join(missing) or 'PARTITION BY RANGE (interval_start)'}",
            "add it there",
        )


def ensure_table(cursor: Cursor, contract: Contract, declaration: str) -> None:
    """Make the table by its statement, or add the columns to it that are new.

    Raises StoreError for any other change, and for a table that lacks what publishing needs.
    """
    if columns(cursor, contract.type):
        _extend(cursor, contract, _declared(cursor, contract, declaration))
    else:
        cursor.execute(declaration)
    _check_columns(cursor, contract)


def _declared(cursor: Cursor, contract: Contract, declaration: str) -> dict[str, Column]:
    """The columns that the file declares: made in a schema of that name that is then forgotten."""
    cursor.execute("SAVEPOINT declared")
    cursor.execute(f"ALTER SCHEMA {SCHEMA} RENAME TO report_kept; CREATE SCHEMA {SCHEMA}")
    cursor.execute(declaration)
    found = columns(cursor, contract.type)
    cursor.execute("ROLLBACK TO SAVEPOINT declared")
    return found


def _extend(cursor: Cursor, contract: Contract, declared: dict[str, Column]) -> None:
    found = columns(cursor, contract.type)
    added = {name: one for name, one in declared.items() if name not in found}
    changed = [name for name, one in found.items() if declared.get(name) != one]
    changed += [name for name, one in added.items() if not one.nullable]
    if changed:
        raise StoreError(
            f"schemas/{contract.type}/report.sql declares {', '.join(changed)} of"
            f" report.{contract.type} otherwise than the table has it",
            f"undo that, and add a column that may be null; ./ws rebuild report {contract.type}"
            " fills it",
        )
    for name, one in added.items():
        cursor.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                table(contract), sql.Identifier(name), sql.SQL(one.type)
            )
        )


def ensure_part(cursor: Cursor, contract: Contract, start: datetime) -> None:
    """Make the table of the month that ``start`` is in.

    It is made alone and then attached, which lets queries of the fact table go on meanwhile.
    """
    name, month = part(contract, start)
    cursor.execute("SELECT to_regclass(format('%%I.%%I', %s, %s))", [PARTS, name])
    if cursor.fetchone() != (None,):
        return
    place = sql.Identifier(PARTS, name)
    cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {})").format(place, table(contract)))
    cursor.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM (%s) TO (%s)").format(
            table(contract), place
        ),
        list(month),
    )


def summarize(connection: Connection, contract: Contract, starts: Iterable[datetime]) -> None:
    """Let block indexes know what was added to the months of ``starts``.

    By itself PostgreSQL does so when it vacuums the month, which an addition of a fifth brings
    about; until then a question about today would read all that was added since. A month that is
    being vacuumed is left to that: it would be cancelled after a second of waiting for it.
    """
    parts = {f"{PARTS}.{part(contract, start)[0]}" for start in starts}
    with suppress(LockNotAvailable), transaction(connection) as cursor:
        cursor.execute("SET LOCAL lock_timeout = '500ms'")
        cursor.execute(
            "SELECT brin_summarize_new_values(indexrelid) FROM pg_index"
            " JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam"
            " WHERE amname = 'brin'"
            " AND indrelid IN (SELECT to_regclass(name) FROM unnest(%s) AS name)",
            [sorted(parts)],
        )


def drop_parts(cursor: Cursor, contract: Contract, before: datetime) -> int:
    """Drop the months that end at ``before`` or earlier; how many.

    Queries of the fact table wait meanwhile, and it waits for them.
    """
    cursor.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = %s::regclass ORDER BY relname",
        [f"{SCHEMA}.{contract.type}"],
    )
    keep, _ = part(contract, before)
    old = [name for (name,) in cursor.fetchall() if name < keep]
    for name in old:
        cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(PARTS, name)))
    return len(old)


def part(contract: Contract, start: datetime) -> tuple[str, Interval]:
    """The name of the month's table that ``start`` is in, and the month."""
    first = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return f"{contract.type}_{first:%Y_%m}", Interval(first, following)
