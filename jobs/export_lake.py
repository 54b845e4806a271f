"""Write complete days of raw events to the Parquet lake: ``<lake>/<type>/date=YYYY-MM-DD/``.

A day is one of arrival time, in UTC; it is complete once the watermark has passed its end. Each is
written aside, put in place whole, and then counts by its row in ``control.lake_export``. Killed at
any moment, a day is not there, or it is there and written again by the next run.

``--day YYYY-MM-DD`` takes one day, ``--type`` one contract; without them everything that is due is
taken, the oldest first.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from pyspark.sql import DataFrame, SparkSession

from watershed.batch import lake_exports
from watershed.batch.lake_exports import Days
from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.failpoint import failpoint
from watershed.settings import Settings
from watershed.spark import export, raw
from watershed.spark.program import run_job
from watershed.spark.session import batch_session
from watershed.speed import time_index
from watershed.speed.time_index import ArrivedOffsets
from watershed.stores import lake, postgres
from watershed.stores.alerts import alert
from watershed.stores.postgres import transaction

SOURCE = "export_lake"
WARN_SHARE = 4
"""A person is told when a day has a quarter of its TTL left, and is not in the lake."""

log = logging.getLogger("watershed.lake")


def run(settings: Settings, wanted: date | None, event_type: str | None) -> None:
    """Export what is due. Raises StoreError, after all else is done, where a day has expired."""
    contracts = load_contracts(settings.schemas_dir, settings.topics)
    if event_type and event_type not in contracts:
        raise StoreError(
            f"there is no contract {event_type}", f"name one of {', '.join(contracts)}"
        )
    expired = [
        f"{contract.type} {day}"
        for contract in contracts.values()
        if event_type in (None, contract.type)
        for day in export_due(settings, contract, wanted)
    ]
    if expired:
        raise StoreError(
            f"not in the lake, and no longer whole in the raw store: {', '.join(expired)}",
            "nothing brings back what has expired; see that this runs every night",
        )


def export_due(settings: Settings, contract: Contract, wanted: date | None) -> list[date]:
    """Export a contract's due days, or one of them; the days that have expired."""
    now = datetime.now(UTC)
    with postgres.connect(settings) as connection, lake_exports.exporting(connection, contract):
        with transaction(connection) as cursor:
            days = lake_exports.days(cursor, contract, now)
            warn(cursor, contract, days, now)
        for day in chosen(contract, days, wanted):
            export_day(batch_session(settings, SOURCE), settings, connection, contract, day)
    return days.expired if wanted is None else [day for day in days.expired if day == wanted]


def chosen(contract: Contract, days: Days, wanted: date | None) -> Iterator[date]:
    """The days to export. Raises StoreError for one that is not complete yet."""
    if wanted is None:
        yield from days.due
    elif days.complete is None or wanted >= days.complete:
        raise StoreError(
            f"{contract.type}: {wanted} is not complete",
            "wait until the watermark has passed its end; ./ws status shows it",
        )
    elif wanted in days.due:
        yield wanted
    elif wanted not in days.expired:
        log.info("%s %s: in the lake, or before the first event", contract.type, wanted)


def warn(cursor: Cursor, contract: Contract, days: Days, now: datetime) -> None:
    """Raise an alert when the oldest day has not much time left."""
    ttl = timedelta(days=contract.retention.ttl_days)
    if days.due and lake_exports.of_day(days.due[0]).start + ttl - now < ttl / WARN_SHARE:
        message = f"{contract.type}: {days.due[0]} is not in the lake, and expires within"
        message += f" {ttl / WARN_SHARE}\n  -> look why the DAG {SOURCE} fails"
        log.warning("%s", message)
        alert(cursor, SOURCE, message, contract.type)


def export_day(
    spark: SparkSession, settings: Settings, connection: Connection, contract: Contract, day: date
) -> None:
    """Read a day from the raw store, and put it into the lake."""
    start, end = lake_exports.of_day(day)
    with transaction(connection) as cursor:
        arrived = time_index.arrived(cursor, contract.type, start, end)
    rows = raw.read(spark, settings, contract, arrived, start, end)
    put(spark, settings, connection, contract, day, rows, arrived)


def put(
    spark: SparkSession,
    settings: Settings,
    connection: Connection,
    contract: Contract,
    day: date,
    rows: DataFrame,
    arrived: list[ArrivedOffsets],
) -> None:
    """Put a day's rows into the lake: aside, in place, recorded."""
    made = lake.making(settings.lake_dir, f"{contract.type}-{day}")
    try:
        content = export.write(spark, rows, arrived, made)
        lake.move_in(made, settings.lake_dir / lake_exports.folder(contract, day))
    finally:
        lake.remove(made)
    failpoint("day_in_place", settings.scratch_dir)
    lake_exports.record(connection, contract, day, content)
    log.info("type=%s day=%s rows=%s checksum=%s", contract.type, day, *content)


def main() -> int:
    """Exit code 1 with cause and remedy when a day cannot be exported."""
    parser = argparse.ArgumentParser(add_help=False)  # --help is that of the settings
    parser.add_argument("--day", type=date.fromisoformat)
    parser.add_argument("--type")
    own, rest = parser.parse_known_args()
    return run_job("watershed.lake", rest, lambda settings: run(settings, own.day, own.type))


if __name__ == "__main__":
    raise SystemExit(main())
