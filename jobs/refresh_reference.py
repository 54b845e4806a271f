"""Take a snapshot of all reference data, as ``schemas/reference/references.yaml`` declares it.

What was read of PostgreSQL, MariaDB and files is written into a new folder; only when all of it is
as it must be, the folder is put in place and ``control.reference_snapshot`` names it. Killed at any
moment, this leaves at most a folder that nothing names, which the next run removes.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from psycopg2.extensions import connection as Connection
from pyspark.sql import DataFrame, SparkSession

from watershed.contracts.load import load_contracts
from watershed.contracts.references import FILE, FOLDER, References, load_references
from watershed.errors import ContractError
from watershed.failpoint import failpoint
from watershed.settings import Settings
from watershed.spark import sources
from watershed.spark.content import content
from watershed.spark.program import run_job
from watershed.spark.references import Broken, check, warnings
from watershed.spark.session import batch_session
from watershed.stores import lake, postgres, reference
from watershed.stores.alerts import alert
from watershed.stores.postgres import transaction
from watershed.stores.reference import Copy, ReferenceSnapshot

SOURCE = "refresh_reference"

log = logging.getLogger("watershed.reference")


def refresh(settings: Settings, today: date) -> ReferenceSnapshot:
    """A new snapshot. Raises WatershedError where there can be none; the last one stays then."""
    references = load_references(settings.schemas_dir)
    check_names(settings, references)
    with postgres.connect(settings) as connection, reference.refreshing(connection):
        for folder in reference.remove_unrecorded(connection, settings.lake_dir):
            log.info("removed %s, which nothing names", folder)
        snapshot = reference.next_snapshot(connection)
        spark = batch_session(settings, f"refresh_reference {snapshot.snapshot}")
        made = lake.making(settings.lake_dir, f"snapshot-{snapshot.snapshot}")
        scratch = settings.scratch_dir / SOURCE  # of one name: what a killed refresh left goes
        try:
            lake.remove(scratch)
            tables = write(spark, settings, references, made, scratch, today)
            check(spark, references, tables, today)
            broken = warnings(spark, references, tables, today)  # of what lies where it was made
            put_in_place(connection, settings, references, snapshot, made, tables)
            warn(connection, broken)
        finally:
            lake.remove(made)
            lake.remove(scratch)
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
    spark: SparkSession,
    settings: Settings,
    references: References,
    folder: Path,
    scratch: Path,
    today: date,
) -> dict[str, DataFrame]:
    """Write the tables that a snapshot keeps; every table, as it is read again."""
    tables: dict[str, DataFrame] = {}
    for name, declared in references.tables.items():
        frame = sources.read(spark, settings, declared, tables, scratch, today)
        if declared.kept:
            # Read once: what is checked is what is kept, whatever the store says a moment later.
            path = lake.uri(folder / name)
            frame.sort(*declared.key).coalesce(1).write.parquet(path)
            frame = spark.read.parquet(path)
        tables[name] = frame
    return tables


def put_in_place(
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
        Copy(declared.copied_to, list(declared.columns), tables[name].collect())
        for name, declared in references.tables.items()
        if declared.copied_to
    ]
    lake.move_in(made, settings.lake_dir / snapshot.folder)
    failpoint("snapshot_in_place", settings.scratch_dir)
    reference.record(connection, snapshot, contents, copies)
    rows = " ".join(f"{name}={content.rows}" for name, content in contents.items())
    log.info("snapshot=%s folder=%s %s", snapshot.snapshot, snapshot.folder, rows)


def warn(connection: Connection, broken: Iterable[Broken]) -> None:
    """Raise an alert of each."""
    for rule in broken:
        log.warning("%s", rule.message)
        with transaction(connection) as cursor:
            alert(cursor, SOURCE, rule.message, detail={"rows": rule.rows})


def run(settings: Settings) -> None:
    """Take a snapshot as of today."""
    refresh(settings, datetime.now(UTC).date())


def main() -> int:
    """Exit code 1 with cause and remedy when there can be no snapshot."""
    return run_job("watershed.reference", sys.argv[1:], run)


if __name__ == "__main__":
    raise SystemExit(main())
