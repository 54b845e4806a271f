"""Attempts at one interval, one after the other in one Spark, and the naive way to load the last.

``python -m benchmarks.peers.enrichment START END ROUNDS naive|alone``: times in RFC 3339. Prints a
line of JSON: the rounds, and what Spark's JDBC append took for the same DataFrame.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as Connection
from pyspark.sql import SparkSession

from watershed.batch import attempts, publish, quality_checks, staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.contracts.load import load_contract
from watershed.contracts.query import read_query
from watershed.errors import WatershedError
from watershed.settings import Settings, load_settings
from watershed.spark.attempt import Clock, Enrichment
from watershed.spark.session import batch_session
from watershed.speed import time_index
from watershed.speed.time_index import ArrivedOffsets
from watershed.stores import postgres, reference
from watershed.stores.postgres import transaction

TYPE = "transaction"
TABLE = "staging.bench_naive"


@dataclass(frozen=True)
class Rounds:
    """Everything an attempt needs but its number."""

    work: Enrichment
    connection: Connection
    snapshot: int
    interval: Interval

    def once(self) -> dict[str, Any]:
        """Load, check and publish one attempt: its events and seconds by stage."""
        clock, attempt = Clock(), self._begin()
        with clock.stage("find"):
            arrived = self._arrived()
        loaded = self.work.load(self.connection, attempt, arrived, clock)
        attempts.note_loaded(self.connection, attempt, loaded)
        contract = self.work.contract
        with clock.stage("quality"):
            checks = quality_checks.check_staging(self.connection, contract, attempt)
        if failed := [check for check in checks if not check.ok]:
            raise WatershedError(f"the checks do not hold: {failed}")
        with clock.stage("publish"):
            publish.publish(self.connection, contract, attempt)
        return {"events": loaded[0].events, "stages": clock.seconds}

    def naive(self) -> float:
        """Seconds that Spark's own JDBC append takes, from the same events kept in memory."""
        attempt = self._begin()
        events = self.work.events(attempt, self._arrived()).persist()
        events.count()
        result, names = self.work.result(self.connection, attempt, events)
        started = time.monotonic()
        where, login = _jdbc(self.work.settings)
        result.select(*names).write.jdbc(where, TABLE, mode="append", properties=login)
        return time.monotonic() - started

    def _arrived(self) -> list[ArrivedOffsets]:
        with transaction(self.connection) as cursor:
            return time_index.arrived(cursor, TYPE, *self.interval)

    def _begin(self) -> Attempt:
        work = self.work
        digest = work.query.sha256
        with transaction(self.connection) as cursor:
            attempt = attempts.begin(
                cursor, work.contract, [self.interval], self.snapshot, digest, "bench"
            )
        staging_table.make(self.connection, attempt)
        return attempt


def _jdbc(settings: Settings) -> tuple[str, dict[str, str]]:
    where = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_database}"
    return f"jdbc:postgresql://{where}", {
        "user": settings.postgres_user,
        "password": settings.secret("postgres_password"),
        "driver": "org.postgresql.Driver",
    }


def enrichment(spark: SparkSession, settings: Settings, folder: str) -> Enrichment:
    """The transaction's, with a snapshot's references."""
    contract = load_contract(settings.schemas_dir / TYPE / "contract.yaml")
    query = read_query(settings.schemas_dir, TYPE)
    return Enrichment(spark, settings, contract, query, settings.lake_dir / folder)


def main(start: str, end: str, rounds: str, naive: str) -> None:
    settings = load_settings()
    started = time.monotonic()
    spark = batch_session(settings, "bench_enrichment")
    startup_s = time.monotonic() - started
    interval = Interval(datetime.fromisoformat(start), datetime.fromisoformat(end))
    with postgres.connect(settings) as connection:
        with transaction(connection) as cursor:
            snapshot = reference.newest(cursor)
        work = enrichment(spark, settings, snapshot.folder)
        each = Rounds(work, connection, snapshot.snapshot, interval)
        found = [each.once() for _ in range(int(rounds))]
        naive_s = each.naive() if naive == "naive" else None
    spark.stop()
    print(json.dumps({"startup_s": startup_s, "rounds": found, "naive_s": naive_s}))


if __name__ == "__main__":
    main(*sys.argv[1:])
