"""``./ws rebuild report``: every final interval made again from raw events.

It takes the ledger in chunks, each an attempt like any other: begun, loaded by the Spark
job, checked, published. It may be stopped at any moment and run again: it goes on where it was, as
long as its inputs are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import stamina
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.batch import attempts, facts, ledger, publish, quality_checks, staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.batch.ledger import LedgerEntry, RepeatableEntry
from watershed.contracts.model import Contract
from watershed.contracts.query import read_query
from watershed.errors import AttemptError, LeaseHeldError
from watershed.settings import Settings
from watershed.stores import operator_log, postgres, reference
from watershed.stores.locks import hold
from watershed.stores.operator_log import log_operation
from watershed.stores.postgres import transaction

CHUNK_EVENTS = 1_000_000
CHUNK_INTERVALS = 300
"""More would not be faster by much; a chunk is what is lost when a rebuild is stopped."""

Load = Callable[[Attempt], None]
"""Loads an attempt's staging table; raises WatershedError where it cannot."""

Watch = Callable[[int, int], None]
"""Told how many intervals have been made again, and how many there are."""


@dataclass(frozen=True)
class Inputs:
    """What a rebuild is made from: with the same, it goes on where it was."""

    snapshot: int
    query_sha256: str
    contract_version: int


@dataclass(frozen=True)
class RebuiltReport:
    """What a rebuild did, this time: ``left_out`` were skipped, or raw events of them expired."""

    snapshot: int
    intervals: int
    rows: int
    duplicates: int
    left_out: int

    def plus(self, published: Sequence[LedgerEntry]) -> RebuiltReport:
        """With what another chunk published."""
        return replace(
            self,
            intervals=self.intervals + len(published),
            rows=self.rows + sum(entry.rows for entry in published),
            duplicates=self.duplicates + sum(entry.duplicates for entry in published),
        )


def rebuild_report(
    settings: Settings, contract: Contract, load: Load, watch: Watch
) -> RebuiltReport:
    """Make every final interval again from raw events, with the newest reference data and
    today's query, in order.

    Raises LeaseHeldError when another rebuild is under way, AttemptError when a check does not
    hold or a newer attempt overtook it; what was published before stays.
    """
    query = read_query(settings.schemas_dir, contract.type)
    facts.report_of(contract)
    work = f"rebuilding the report of {contract.type}"
    with postgres.connect(settings) as connection, hold(connection, work):
        with transaction(connection) as cursor:
            snapshot = reference.newest(cursor).snapshot
            inputs = Inputs(snapshot, query.sha256, contract.version)
            operation, until = _operation(cursor, contract, inputs)
            entries = ledger.repeatable(cursor, contract, until) if until else []
        rebuilt = _rebuild(connection, contract, inputs, operation, entries, load, watch)
        with transaction(connection) as cursor:
            ended = {"ended": operation, **asdict(rebuilt)}
            log_operation(cursor, _command(contract), contract.type, ended)
    return rebuilt


def _rebuild(
    connection: Connection,
    contract: Contract,
    inputs: Inputs,
    operation: int,
    entries: Sequence[RepeatableEntry],
    load: Load,
    watch: Watch,
) -> RebuiltReport:
    """Make again, in chunks, what this operation has not done yet."""
    run_id = f"{_command(contract)}, operation {operation}"
    repeatable = [entry for entry in entries if entry.run_id is not None]
    todo = [entry for entry in repeatable if entry.run_id != run_id]
    done, total = len(repeatable) - len(todo), len(repeatable)
    watch(done, total)
    rebuilt = RebuiltReport(inputs.snapshot, 0, 0, 0, len(entries) - total)
    for chunk in chunks(todo):
        published = _publish(connection, contract, inputs, chunk, run_id, load)
        rebuilt = rebuilt.plus(published)
        watch(done + rebuilt.intervals, total)
    return rebuilt


def _command(contract: Contract) -> str:
    return f"./ws rebuild report {contract.type}"


def _operation(cursor: Cursor, contract: Contract, inputs: Inputs) -> tuple[int, datetime | None]:
    """The number of the rebuild that this one continues, or of a new one; and how far it goes."""
    last = operator_log.newest(cursor, _command(contract), contract.type)
    if last and "ended" not in last.detail and last.detail.get("inputs") == asdict(inputs):
        until = last.detail["until"]
        return last.id, datetime.fromisoformat(until) if until else None
    bounds = ledger.final_range(cursor, contract.type)
    begun = {"inputs": asdict(inputs), "until": str(bounds.end) if bounds else None}
    number = log_operation(cursor, _command(contract), contract.type, begun)
    return number, bounds.end if bounds else None


def chunks(todo: Sequence[RepeatableEntry]) -> Iterator[list[Interval]]:
    """Adjacent intervals, so many at a time that one Spark job does them well."""
    chunk: list[Interval] = []
    events = 0
    for interval, more, _ in todo:
        is_full = len(chunk) >= CHUNK_INTERVALS or events + more > CHUNK_EVENTS
        if chunk and (is_full or chunk[-1].end != interval.start):
            yield chunk
            chunk, events = [], 0
        chunk.append(interval)
        events += more
    if chunk:
        yield chunk


def _publish(
    connection: Connection,
    contract: Contract,
    inputs: Inputs,
    chunk: list[Interval],
    run_id: str,
    load: Load,
) -> list[LedgerEntry]:
    """One attempt, from its beginning to its end."""
    _wait_free(connection, contract)
    with transaction(connection) as cursor:
        attempt = attempts.begin(
            cursor, contract, chunk, inputs.snapshot, inputs.query_sha256, run_id
        )
    load(attempt)
    checks = quality_checks.check_staging(connection, contract, attempt)
    failed = [check for check in checks if not check.ok]
    if failed:
        what = "; ".join(f"{c.name}: {c.observed}, not {c.expected}" for c in failed)
        raise AttemptError(
            f"attempt {attempt.attempt} does not pass its checks: {what}",
            f"look at staging.{staging_table.name(attempt)}; then run the command again",
        )
    return publish.publish(connection, contract, attempt)


def _wait_free(connection: Connection, contract: Contract) -> None:
    """Wait until no other run loads intervals: they are Airflow's, and take minutes."""
    for trial in stamina.retry_context(
        on=LeaseHeldError, attempts=None, timeout=1800, wait_initial=1, wait_max=5
    ):
        with trial, attempts.enriching(connection, contract.type):
            pass
