"""Exports to the Parquet lake: which days of arrival time it has, ``control.lake_export``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.batch.expiry import EXPIRY_MARGIN
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.speed import progress, time_index
from watershed.stores import locks
from watershed.stores.postgres import transaction
from watershed.stores.reference import TableContent

DAY = timedelta(days=1)


class Days(NamedTuple):
    """``due`` days are complete in the raw store, from the oldest on; of ``expired`` ones it has
    no longer all. The lake has none of them. Days before ``complete`` are complete."""

    due: list[date]
    expired: list[date]
    complete: date | None


def of_day(day: date) -> Interval:
    """The arrival times of a day in UTC."""
    start = datetime.combine(day, time(), UTC)
    return Interval(start, start + DAY)


def folder(contract: Contract, day: date) -> str:
    """Where a day lies, below the lake's folder."""
    return f"{contract.type}/date={day}"


def days(cursor: Cursor, contract: Contract, now: datetime) -> Days:
    """What there is to export.

    The time index begins with the first day of which raw rows may be left.
    """
    watermark = progress.complete_until(cursor, contract.type)
    first = time_index.oldest(cursor, contract.type)
    if watermark is None or first is None:
        return Days([], [], None)
    cursor.execute("SELECT day FROM control.lake_export WHERE type = %s", [contract.type])
    exported = {day for (day,) in cursor.fetchall()}
    whole = (watermark.date() - first.date()).days
    open_days = [day for n in range(whole) if (day := first.date() + n * DAY) not in exported]
    expiry = now - timedelta(days=contract.retention.ttl_days) + EXPIRY_MARGIN
    expired = [day for day in open_days if of_day(day).start < expiry]
    return Days(open_days[len(expired) :], expired, watermark.date())


def exporting(connection: Connection, contract: Contract) -> AbstractContextManager[None]:
    """Be the only one who exports a contract's days: :func:`watershed.stores.locks.hold`."""
    return locks.hold(connection, f"exporting {contract.type}")


def record(connection: Connection, contract: Contract, day: date, content: TableContent) -> None:
    """Let a day count, whose folder is in place."""
    with transaction(connection) as cursor:
        cursor.execute(
            "INSERT INTO control.lake_export (type, day, folder, rows, checksum)"
            " VALUES (%s, %s, %s, %s, %s)",
            [contract.type, day, folder(contract, day), *content],
        )
