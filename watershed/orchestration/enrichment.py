"""What the tasks of an enrichment do between the gate and the report; each returns its numbers.

Every one may be repeated at any time: PostgreSQL decides what still counts.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from psycopg2.extensions import connection as Connection

from watershed.batch import (
    attempts,
    intervals,
    quality_checks,
    run_size,
    staging_table,
)
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.batch.publish import publish as publish_attempt
from watershed.batch.reconcile import reconcile as reconcile_intervals
from watershed.contracts.model import Contract
from watershed.contracts.query import read_query
from watershed.orchestration import messages, ranges
from watershed.orchestration.inputs import choose_snapshot
from watershed.orchestration.project import contract_of, store
from watershed.orchestration.ranges import Choice
from watershed.settings import Settings
from watershed.stores import reference

Numbers = dict[str, Any]
UNEXPLAINED_MAX = 20


class Unexplained(AirflowFailException):
    """Batch and flow differ; ``detail`` goes into the alert."""

    def __init__(self, message: str, detail: Numbers) -> None:
        super().__init__(message)
        self.detail = detail


def begin(event_type: str, context: Context) -> Numbers:
    """Begin an attempt at what the run was asked for, with the reference data that it asked for.

    A run that is cleared takes the range it took before, and goes on with the snapshot with which
    it has published a part of it.
    """
    with store() as (settings, connection):
        contract = contract_of(settings, event_type)
        run_id = f"{context['dag'].dag_id} {context['run_id']}"
        before = attempts.of_run(connection, event_type, run_id)
        parts = _parts(settings, connection, contract, before, context)
        query = read_query(settings.schemas_dir, event_type)
        snapshot = _snapshot(connection, contract, parts, before, context)
        attempt = attempts.begin(connection, contract, parts, snapshot, query.sha256, run_id)
    return {
        "attempt": attempt.attempt,
        "start": attempt.start.isoformat(),
        "end": attempt.end.isoformat(),
        "intervals": len(parts),
        "snapshot": snapshot,
    }


def _parts(
    settings: Settings,
    connection: Connection,
    contract: Contract,
    before: Attempt | None,
    context: Context,
) -> list[Interval]:
    """The intervals that a run finalizes, of which ``before`` is the last attempt.

    Raises AirflowSkipException when there are none.
    """
    width = settings.batch_interval_s
    if before is not None:
        return intervals.plan(connection, contract, Interval(before.start, before.end), width)
    wanted = ranges.asked(context["params"], context.get("partition_key"), width)
    with connection:
        frontier = intervals.frontier(connection, contract, width)
    match ranges.choose(wanted, frontier, scheduled=_is_scheduled(context)):
        case Choice.SKIP:
            raise AirflowSkipException(f"{wanted.range} was made final, or nothing arrived in it")
        case Choice.RANGE:
            span = wanted.range
        case Choice.NOT_FINAL:
            span = intervals.pending(connection, contract, width)
            if span:
                most = settings.batch_max_events
                span = run_size.portion(connection, contract, span, width, most)
    if span is None:
        raise AirflowSkipException("everything up to the watermark is final")
    parts = intervals.plan(connection, contract, span, width)
    run_size.refuse_large(connection, contract, parts, settings.batch_max_events)
    return parts


def _snapshot(
    connection: Connection,
    contract: Contract,
    parts: list[Interval],
    before: Attempt | None,
    context: Context,
) -> int:
    with connection:
        named = attempts.snapshots(connection, contract.type, parts)
        newest = reference.newest(connection).snapshot
    had = before.snapshot if before else None
    return choose_snapshot(context["params"]["reference"], parts, named, newest, had)


def _is_scheduled(context: Context) -> bool:
    """Whether the schedule began the run, and nobody has cleared it since."""
    run = context["dag_run"]
    return run.run_type == "scheduled" and not getattr(run, "clear_number", 0)


def check(number: int) -> Numbers:
    """Check what an attempt has staged. Raises AirflowFailException when a check does not hold."""
    with store() as (settings, connection):
        attempt = attempts.read(connection, number)
        contract = contract_of(settings, attempt.type)
        found = quality_checks.check_staging(connection, contract, attempt)
        loaded = attempts.loaded(connection, attempt)
    failed = {one.name: f"{one.observed}, must be {one.expected}" for one in found if not one.ok}
    if failed:
        raise AirflowFailException(
            messages.failed_checks(contract.type, staging_table.name(attempt), failed)
        )
    unmatched = Counter[str]()
    for one in loaded:
        unmatched.update(one.unmatched)
    return {
        "events": sum(one.events for one in loaded),
        "repeated": sum(one.repeated for one in loaded),
        "unmatched": dict(unmatched),
        "checks": {one.name: str(one.observed) for one in found},
    }


def publish(number: int) -> Numbers:
    """Publish an attempt's intervals, each in a transaction; what they have become."""
    started = time.monotonic()
    with store() as (settings, connection):
        attempt = attempts.read(connection, number)
        contract = contract_of(settings, attempt.type)
        done = publish_attempt(connection, contract, attempt)
    return {
        "intervals": len(done),
        "rows": sum(one.rows for one in done),
        "duplicates": sum(one.duplicates for one in done),
        "conflicts": sum(one.conflicts for one in done),
        "seconds": round(time.monotonic() - started, 1),
    }


def reconcile(number: int, event: Any) -> Numbers:
    """Compare an attempt's published intervals with the flow; ``event`` is the asset's.

    Raises Unexplained when more differs than removed duplicates explain.
    """
    with store() as (settings, connection):
        attempt = attempts.read(connection, number)
        contract = contract_of(settings, attempt.type)
        within = Interval(attempt.start, attempt.end)
        found = reconcile_intervals(connection, contract, within)
    if found.unexplained:
        shown = [list(map(str, (s.interval_start, *s.groups, s.value, s.events)))
                 for s in found.unexplained[:UNEXPLAINED_MAX]]  # fmt: skip
        message = messages.drift(contract.type, found.unexplained)
        raise Unexplained(message, {"attempt": number, "unexplained": shown})
    event.extra = {"start": attempt.start.isoformat(), "end": attempt.end.isoformat()}
    return {"compared": found.compared, "duplicates": found.duplicates, "unexplained": 0}
