"""Which days of arrival time the Parquet lake has, whole: ``control.lake_export``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from psycopg2.extensions import connection as Connection

from watershed.batch.expiry import EXPIRY_MARGIN
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.errors import LeaseHeldError
from watershed.speed import progress, time_index
from watershed.stores.locks import holder_of, try_lock_session, unlock_session
from watershed.stores.reference import Content

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


def days(connection: Connection, contract: Contract, now: datetime) -> Days:
    """What there is to export, in this connection's transaction.

    The time index begins with the first day of which raw rows may be left.
    """
    topic_id = progress.topic_id(connection, contract.type)
    partitions = progress.progress(connection, contract.type, topic_id) if topic_id else {}
    watermark = progress.watermark(partitions)
    first = time_index.oldest(connection, contract.type)
    if watermark is None or first is None:
        return Days([], [], None)
    cursor = connection.cursor()
    cursor.execute("SELECT day FROM control.lake_export WHERE type = %s", [contract.type])
    exported = {day for (day,) in cursor.fetchall()}
    whole = (watermark.date() - first.date()).days
    open_days = [day for n in range(whole) if (day := first.date() + n * DAY) not in exported]
    expiry = now - timedelta(days=contract.retention.ttl_days) + EXPIRY_MARGIN
    expired = [day for day in open_days if of_day(day).start < expiry]
    return Days(open_days[len(expired) :], expired, watermark.date())


@contextmanager
def exporting(connection: Connection, contract: Contract) -> Iterator[None]:
    """Be the only one who exports a contract's days. Raises LeaseHeldError when another does."""
    what = f"exporting {contract.type}"
    if not try_lock_session(connection, what):
        raise LeaseHeldError(
            f"{holder_of(connection, what)} is exporting {contract.type}",
            "wait for it: it takes every day that is due",
        )
    try:
        yield
    finally:
        if not connection.closed:
            unlock_session(connection, what)


def record(connection: Connection, contract: Contract, day: date, content: Content) -> None:
    """Let a day count, whose folder is in place; commits."""
    with connection:
        connection.cursor().execute(
            "INSERT INTO control.lake_export (type, day, folder, rows, checksum)"
            " VALUES (%s, %s, %s, %s, %s)",
            [contract.type, day, folder(contract, day), *content],
        )
