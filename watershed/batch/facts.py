"""The fact table of a contract, ``report.<type>``: every final event once, enriched.

It has the contract's fields, the columns that ``enrich.sql`` adds, and where each event came from.
It is parted by the interval's start, a table per month, of which retention drops whole ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from psycopg2 import sql
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.batch import report_table
from watershed.batch.intervals import Interval
from watershed.batch.report_table import SCHEMA, ReportTable
from watershed.contracts.model import UNMATCHED, Contract, Report
from watershed.errors import StoreError
from watershed.stores.postgres import transaction
from watershed.stores.sql_types import TIME, sql_type

PARTS = "report_parts"
PIPELINE = {
    UNMATCHED: ("text[]", "Reference data that has no row for this event; null where all have"),
    "interval_start": (TIME, "Arrival time at which the interval begins that it came in with"),
    "arrival_time": (
        TIME,
        "When it arrived: Kafka's time, or the time up to which its partition was complete before",
    ),
    "topic_id": ("text", "Kafka's id of the topic that carried it"),
    "kafka_partition": ("integer", "Kafka partition that carried it"),
    "kafka_offset": ("bigint", "Its offset there"),
    "payload_hash": ("bigint", "Tells repeated events from conflicting ones"),
}
"""Columns that every fact table has beside those of the contract."""


def table(contract: Contract) -> sql.Identifier:
    """The fact table, as SQL."""
    return sql.Identifier(SCHEMA, contract.type)


def report_of(contract: Contract) -> Report:
    """What the contract reports. Raises StoreError when it reports nothing."""
    if contract.report is None:
        raise StoreError(f"{contract.type} has no report", "declare `report` in its contract")
    return contract.report


def declared(contract: Contract) -> ReportTable:
    """The fact table as the contract has it.

    What names an event, places, groups and sums it is never null; a later version may let any
    other field be absent, or add one.
    """
    needed = {contract.event_id, contract.event_time, contract.measure[1]}
    needed |= {*contract.flow.group_by.values(), *PIPELINE} - {UNMATCHED}
    columns = {
        name: (sql_type(column.type), column.description)
        for name, column in contract.columns.items()
    }
    columns |= PIPELINE
    return ReportTable(
        contract.type,
        f"Every final event once, enriched; repeated ones are left out. {contract.description}",
        columns,
        (contract.event_id, "interval_start"),
        tuple(name for name in columns if name not in needed),
        "interval_start",
    )


def ensure_table(cursor: Cursor, contract: Contract) -> None:
    """Make the table, or add the columns to it that are new.

    Raises StoreError for any other change.
    """
    wanted = declared(contract)
    has = report_table.columns(cursor, contract.type)
    if has:
        _extend(cursor, wanted, has)
    else:
        report_table.create(cursor, wanted)
    _ensure_indexes(cursor, contract)
    report_table.comment_table(cursor, wanted)


def _extend(cursor: Cursor, wanted: ReportTable, has: dict[str, report_table.SqlColumn]) -> None:
    added = {name: one for name, one in wanted.declared.items() if name not in has}
    changed = [name for name, one in has.items() if wanted.declared.get(name) != one]
    changed += [name for name, one in added.items() if not one.nullable]
    if changed:
        kinds = ", ".join(f"{n} is {wanted.columns.get(n, ['absent'])[0]}" for n in changed)
        raise StoreError(
            f"report.{wanted.name} has {', '.join(changed)} otherwise than"
            f" schemas/{wanted.name}/contract.yaml: there {kinds}",
            f"undo that, and add a column instead; ./ws rebuild report {wanted.name} fills it",
        )
    for name, one in added.items():
        cursor.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                wanted.identifier, sql.Identifier(name), sql.SQL(one.type)
            )
        )


def _ensure_indexes(cursor: Cursor, contract: Contract) -> None:
    """An interval is replaced, and a past position reads the one it ends in.

    Rows lie in order of arrival, which is nearly that of event time: for that ranges of blocks are
    enough.
    """
    for name, using in {
        "interval_start": "(interval_start)",
        "event_time": "USING brin ({event_time}) WITH (pages_per_range = 32)",
    }.items():
        statement = sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} " + using)
        cursor.execute(
            statement.format(
                sql.Identifier(f"{contract.type}_{name}"),
                table(contract),
                event_time=sql.Identifier(contract.event_time),
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
