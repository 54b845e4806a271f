"""Enrich the intervals of one attempt, and load them into its staging table.

``--attempt N`` names the row of ``control.attempt`` that says all else: the type, the intervals,
the snapshot of reference data, the query's digest. Settings are options as everywhere. It may be
run again at any time: it begins with an empty staging table. Two never work on one type.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from watershed.batch import attempts, staging_table
from watershed.batch.attempts import Attempt, Loaded
from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.contracts.query import Query, read_query
from watershed.errors import AttemptError
from watershed.settings import Settings
from watershed.spark.attempt import Clock, Enrichment
from watershed.spark.program import run_job
from watershed.spark.session import batch_session
from watershed.speed import time_index
from watershed.stores import postgres, reference
from watershed.stores.postgres import transaction

log = logging.getLogger("watershed.enrich")


def run(settings: Settings, number: int) -> None:
    """Load an attempt; raises WatershedError where it cannot be done."""
    clock = Clock()
    with postgres.connect(settings) as connection:
        with transaction(connection) as cursor:
            attempt = attempts.read(cursor, number)
            folder = reference.get(cursor, attempt.snapshot).folder
        contract, query = inputs(settings, attempt)
        with attempts.enriching(connection, attempt.type):
            staging_table.make(connection, attempt)
            with clock.stage("find"), transaction(connection) as cursor:
                arrived = time_index.arrived(cursor, attempt.type, attempt.start, attempt.end)
            loaded = _nothing(attempt)
            if arrived:
                with clock.stage("start"):
                    spark = batch_session(settings, f"enrich_intervals {number}")
                work = Enrichment(spark, settings, contract, query, settings.lake_dir / folder)
                loaded = work.load(connection, attempt, arrived, clock)
            attempts.note_loaded(connection, attempt, loaded)
    log.info("%s", line(attempt, loaded, clock))


def inputs(settings: Settings, attempt: Attempt) -> tuple[Contract, Query]:
    """The attempt's contract and query, if they are those that it was begun with."""
    contract = load_contracts(settings.schemas_dir, settings.topics)[attempt.type]
    query = read_query(settings.schemas_dir, attempt.type)
    begun = (attempt.contract_version, attempt.query_sha256)
    if (contract.version, query.sha256) != begun:
        raise AttemptError(
            f"attempt {attempt.attempt} was begun with version {begun[0]} of the contract and"
            f" enrich.sql {begun[1][:12]}; now they are {contract.version} and {query.sha256[:12]}",
            "begin a new attempt: clear the run from its first task on",
        )
    return contract, query


def _nothing(attempt: Attempt) -> list[Loaded]:
    return [Loaded(interval, 0, 0, {}) for interval in attempt.intervals]


def line(attempt: Attempt, loaded: Sequence[Loaded], clock: Clock) -> str:
    """What was done, as ``key=value``: seconds by stage, and the rate without Spark's start."""
    events = sum(interval.events for interval in loaded)
    working_s = sum(took for stage, took in clock.seconds.items() if stage != "start")
    numbers = {
        "attempt": attempt.attempt,
        "type": attempt.type,
        "intervals": len(loaded),
        "events": events,
        "repeated": sum(interval.repeated for interval in loaded),
        "unmatched": sum(sum(interval.unmatched.values()) for interval in loaded),
        **{f"{stage}_s": f"{took:.2f}" for stage, took in clock.seconds.items()},
        "events_per_s": round(events / working_s),
    }
    return " ".join(f"{key}={value}" for key, value in numbers.items())


def main() -> int:
    """Exit code 1 with cause and remedy when the attempt cannot be loaded."""
    # --help is that of the settings
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--attempt", type=int, required=True)
    own, others = parser.parse_known_args()
    return run_job("watershed.enrich", others, lambda settings: run(settings, own.attempt))


if __name__ == "__main__":
    raise SystemExit(main())
