"""One attempt from the raw store into its staging table: what ``jobs/enrich_intervals.py`` does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from psycopg2.extensions import connection as Connection
from pyspark import StorageLevel
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from watershed.batch.attempts import Attempt, Loaded
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.contracts.query import Query
from watershed.errors import StoreError
from watershed.failpoint import failpoint
from watershed.settings import Settings
from watershed.spark import enrich, raw, staging
from watershed.spark.enrich import Measured
from watershed.speed.time_index import ArrivedOffsets
from watershed.stores import lake
from watershed.stores.postgres import transaction

ROWS_PER_TASK = 250_000
"""Events that a task sorts by id: some 60 MB."""


@dataclass
class Clock:
    """Seconds by stage, in the order of the work."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started


@dataclass(frozen=True)
class Enrichment:
    """How a contract's attempts are enriched: its query, and the folder of the references."""

    spark: SparkSession
    settings: Settings
    contract: Contract
    query: Query
    folder: Path

    def load(
        self,
        connection: Connection,
        attempt: Attempt,
        arrived: Sequence[ArrivedOffsets],
        clock: Clock,
    ) -> list[Loaded]:
        """Fill the attempt's staging table, which is empty; what it has then, by interval.

        Raises ContractError for a query that changes more than it may, StoreError where events or
        references are missing.
        """
        events = self.events(attempt, arrived).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            with clock.stage("read"):
                before = enrich.measured(events, self.contract)
                raw.check_counted(arrived, events.where(raw.COUNTED).count())
            copied = self._copy(connection, attempt, events, clock)
        finally:
            events.unpersist()
        with clock.stage("check"), transaction(connection) as cursor:
            after = staging.measured(cursor, self.contract, attempt, copied)
            enrich.check(self.contract, self.query, before, after)
            unmatched = staging.unmatched(cursor, self.contract, attempt, self.query)
        return [_loaded(i, after.get(i.start), unmatched) for i in attempt.intervals]

    def events(self, attempt: Attempt, arrived: Sequence[ArrivedOffsets]) -> DataFrame:
        """The view ``event``, with a mark on what the time index counts."""
        tasks = sum(len(partition.offsets) for partition in arrived) // ROWS_PER_TASK
        self.spark.conf.set("spark.sql.shuffle.partitions", max(tasks, 2))
        start, end = attempt.start, attempt.end
        rows = raw.read(self.spark, self.settings, self.contract, arrived, start, end)
        return enrich.events(rows, self.contract, attempt.intervals)

    def result(
        self, connection: Connection, attempt: Attempt, events: DataFrame
    ) -> tuple[DataFrame, list[str]]:
        """What the query makes of the events, and the columns of it that are loaded."""
        references = {name: self._reference(name) for name in self.contract.references}
        result = enrich.enriched(self.spark, self.query, events.drop(raw.COUNTED), references)
        enrich.check_types(self.contract, self.query, result)
        with transaction(connection) as cursor:
            return result, staging.columns(cursor, self.contract, attempt, result.columns)

    def _copy(
        self, connection: Connection, attempt: Attempt, events: DataFrame, clock: Clock
    ) -> int:
        """Enrich the events and load them; how many rows."""
        result, names = self.result(connection, attempt, events)
        with staging.own_folder(self.settings, self.contract) as folder:
            with clock.stage("enrich"):
                staging.write(result, names, folder / "rows")
            with clock.stage("copy"):
                copied = staging.copy(self.settings, attempt, names, folder / "rows")
        failpoint("rows_copied", self.settings.scratch_dir)
        return copied

    def _reference(self, name: str) -> DataFrame:
        path = self.folder / name
        try:
            return self.spark.read.parquet(lake.uri(path))
        except AnalysisException:
            raise StoreError(
                f"the snapshot of reference data has no {name}: there is no {path}",
                "run the DAG refresh_reference; then begin again, with the newest reference data",
            ) from None


def _loaded(
    interval: Interval, staged: Measured | None, unmatched: Mapping[datetime, dict[str, int]]
) -> Loaded:
    """What was loaded of an interval; None is staged where nothing arrived."""
    if staged is None:
        return Loaded(interval, 0, 0, {})
    return Loaded(interval, staged.events, staged.repeated, unmatched.get(interval.start, {}))
