"""``./ws rebuild report``: every final interval made again from raw events.

It takes the ledger in chunks, each an attempt like any other: begun, loaded by the Spark
job, checked, published. It may be stopped at any moment and run again: it goes on where it was, as
long as its inputs are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

import stamina
from psycopg2.extensions import connection as Connection

from watershed.batch import (
    attempts,
    expiry,
    facts,
    publish,
    quality_checks,
    staging_table,
)
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.contracts.query import read_query
from watershed.errors import AttemptError, LeaseHeldError
from watershed.settings import Settings
from watershed.stores import postgres, reference
from watershed.stores.locks import holder_of, try_lock_session, unlock_session
from watershed.stores.operator_log import log_operation

CHUNK_EVENTS = 1_000_000
CHUNK_INTERVALS = 300
"""More would not be faster by much; a chunk is what is lost when a rebuild is stopped."""

Load = Callable[[Attempt], None]
"""Loads an attempt's staging table; raises WatershedError where it cannot."""

Watch = Callable[[int, int], None]
"""Told how many intervals have been made again, and how many there are."""


class LedgerRow(NamedTuple):
    """A row of the ledger; ``run_id`` is of the attempt it came from, None where it was skipped."""

    interval: Interval
    events: int
    run_id: str | None


@dataclass(frozen=True)
class Inputs:
    """What a rebuild is made from: with the same, it goes on where it was."""

    snapshot: int
    query_sha256: str
    contract_version: int


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did, this time: ``left_out`` were skipped, or raw events of them expired."""

    snapshot: int
    intervals: int
    rows: int
    duplicates: int
    left_out: int


def rebuild_report(settings: Settings, contract: Contract, load: Load, watch: Watch) -> Rebuilt:
    """Make every final interval again from raw events, with the newest reference data and
    today's query, in order.

    Raises LeaseHeldError when another rebuild is under way, AttemptError when a check does not
    hold or a newer attempt overtook it; what was published before stays.
    """
    query = read_query(settings.schemas_dir, contract.type)
    facts.report_of(contract)
    with postgres.connect(settings) as connection, _alone(connection, contract):
        snapshot = reference.newest(connection).snapshot
        inputs = Inputs(snapshot, query.sha256, contract.version)
        operation, until = _operation(connection, contract, inputs)
        run_id = f"{_command(contract)}, operation {operation}"
        todo = _todo(connection, contract, until)
        rebuilt = Rebuilt(snapshot, 0, 0, 0, len(todo) - sum(map(_is_final, todo)))
        done = sum(one.run_id == run_id for one in todo)
        total = len(todo) - rebuilt.left_out
        watch(done, total)
        for parts in chunks([one for one in todo if one.run_id not in (run_id, None)]):
            published = _finalize(connection, contract, inputs, parts, run_id, load)
            done += len(published)
            watch(done, total)
            rebuilt = Rebuilt(
                snapshot,
                rebuilt.intervals + len(published),
                rebuilt.rows + sum(one.rows for one in published),
                rebuilt.duplicates + sum(one.duplicates for one in published),
                rebuilt.left_out,
            )
        with connection:
            ended = {"ended": operation, **asdict(rebuilt)}
            log_operation(connection, _command(contract), contract.type, ended)
    return rebuilt


@contextmanager
def _alone(connection: Connection, contract: Contract) -> Iterator[None]:
    what = _command(contract)
    if not try_lock_session(connection, what):
        raise LeaseHeldError(
            f"{what} is under way: {holder_of(connection, what)}", "wait until it has ended"
        )
    try:
        yield
    finally:
        if not connection.closed:
            unlock_session(connection, what)


def _command(contract: Contract) -> str:
    return f"./ws rebuild report {contract.type}"


def _operation(
    connection: Connection, contract: Contract, inputs: Inputs
) -> tuple[int, datetime | None]:
    """The number of the rebuild that this one continues, or of a new one; and how far it goes."""
    with connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT id, detail, (detail->>'until')::timestamptz FROM control.operator_log"
            " WHERE type = %s AND command = %s ORDER BY id DESC LIMIT 1",
            [contract.type, _command(contract)],
        )
        number, detail, until = cursor.fetchone() or (0, {}, None)
        if "ended" not in detail and detail.get("inputs") == asdict(inputs):
            return number, until
        cursor.execute("SELECT final_until FROM control.stream WHERE type = %s", [contract.type])
        [until] = cursor.fetchone() or [None]
        begun = {"inputs": asdict(inputs), "until": str(until) if until else None}
        return log_operation(connection, _command(contract), contract.type, begun), until


def _todo(connection: Connection, contract: Contract, until: datetime | None) -> list[LedgerRow]:
    """The ledger up to ``until``, in order; without a run where it cannot be made again."""
    with connection:
        readable = expiry.readable_from(connection, contract) + expiry.LONGEST_RUN
        cursor = connection.cursor()
        cursor.execute(
            "SELECT i.start_at, i.end_at, i.events,"
            " CASE WHEN i.start_at >= %s THEN run_id END"
            " FROM control.interval AS i LEFT JOIN control.attempt USING (attempt)"
            " WHERE i.type = %s AND i.end_at <= %s ORDER BY i.start_at",
            [readable, contract.type, until],
        )
        return [
            LedgerRow(Interval(start, end), events, run_id)
            for start, end, events, run_id in cursor.fetchall()
        ]


def _is_final(one: LedgerRow) -> bool:
    return one.run_id is not None


def chunks(todo: list[LedgerRow]) -> Iterator[list[Interval]]:
    """Adjacent intervals, so many at a time that one Spark job does them well."""
    parts: list[Interval] = []
    events = 0
    for one in todo:
        is_full = len(parts) >= CHUNK_INTERVALS or events + one.events > CHUNK_EVENTS
        if parts and (is_full or parts[-1].end != one.interval.start):
            yield parts
            parts, events = [], 0
        parts.append(one.interval)
        events += one.events
    if parts:
        yield parts


def _finalize(
    connection: Connection,
    contract: Contract,
    inputs: Inputs,
    parts: list[Interval],
    run_id: str,
    load: Load,
) -> list[publish.Published]:
    """One attempt, from its beginning to its end."""
    _wait_free(connection, contract)
    attempt = attempts.begin(
        connection, contract, parts, inputs.snapshot, inputs.query_sha256, run_id
    )
    load(attempt)
    failed = [
        one for one in quality_checks.check_staging(connection, contract, attempt) if not one.ok
    ]
    if failed:
        what = "; ".join(f"{one.name}: {one.observed}, not {one.expected}" for one in failed)
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
