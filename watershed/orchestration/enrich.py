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

from watershed.batch import attempts, quality_checks, run, staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.batch.plan import Asked, Origin
from watershed.batch.publish import publish as publish_attempt
from watershed.batch.reconcile import reconcile as reconcile_intervals
from watershed.contracts.query import read_query
from watershed.orchestration import messages, schedule
from watershed.orchestration.project import contract_of, store
from watershed.stores.postgres import transaction

Numbers = dict[str, Any]
UNEXPLAINED_MAX = 20
AS_PUBLISHED = "as published"
NEWEST = "newest"


class UnexplainedError(AirflowFailException):
    """Batch and flow differ; ``detail`` goes into the alert."""

    def __init__(self, message: str, detail: Numbers) -> None:
        super().__init__(message)
        self.detail = detail


def begin(event_type: str, context: Context) -> Numbers:
    """Begin an attempt at what the run was asked for, with the reference data that it asked for.

    A run that is cleared takes the range it took before, and goes on with the snapshot with which
    it has published a part of it. Raises AirflowSkipException where nothing is to be published.
    """
    with store() as (settings, connection), transaction(connection) as cursor:
        contract = contract_of(settings, event_type)
        query = read_query(settings.schemas_dir, event_type)
        run_id = f"{context['dag'].dag_id} {context['run_id']}"
        before = attempts.of_run(cursor, event_type, run_id)
        width_s, events_max = settings.batch_interval_s, settings.batch_max_events
        asked = _asked(event_type, before, context, width_s)
        intervals = run.intervals(cursor, contract, asked, width_s, events_max)
        if not intervals:
            raise AirflowSkipException("what is complete in the raw store is final already")
        as_published = context["params"]["reference"] == AS_PUBLISHED
        snapshot = run.snapshot(cursor, event_type, intervals, before, as_published=as_published)
        attempt = attempts.begin(cursor, contract, intervals, snapshot, query.sha256, run_id)
    return {
        "attempt": attempt.attempt,
        "start": attempt.start.isoformat(),
        "end": attempt.end.isoformat(),
        "intervals": len(intervals),
        "snapshot": snapshot,
    }


def _asked(event_type: str, before: Attempt | None, context: Context, width_s: int) -> Asked:
    """What a run was asked for, of which ``before`` is the last attempt."""
    if before is not None:
        return Asked(event_type, Origin.ATTEMPT, Interval(before.start, before.end))
    asked = schedule.asked(event_type, context["params"], context.get("partition_key"), width_s)
    if asked.origin is Origin.KEY and _is_scheduled(context):
        return asked._replace(origin=Origin.SCHEDULE)
    return asked


def _is_scheduled(context: Context) -> bool:
    """Whether the schedule began the run, and nobody has cleared it since."""
    dag_run = context["dag_run"]
    return dag_run.run_type == "scheduled" and not getattr(dag_run, "clear_number", 0)


def check(number: int) -> Numbers:
    """Check what an attempt has staged. Raises AirflowFailException when a check does not hold."""
    with store() as (settings, connection):
        attempt = _attempt(connection, number)
        contract = contract_of(settings, attempt.type)
        checks = quality_checks.check_staging(connection, contract, attempt)
        with transaction(connection) as cursor:
            loaded = attempts.loaded(cursor, attempt)
    failed = {c.name: f"{c.observed}, must be {c.expected}" for c in checks if not c.ok}
    if failed:
        raise AirflowFailException(
            messages.failed_checks(contract.type, staging_table.name(attempt), failed)
        )
    unmatched = Counter[str]()
    for interval in loaded:
        unmatched.update(interval.unmatched)
    return {
        "events": sum(interval.events for interval in loaded),
        "repeated": sum(interval.repeated for interval in loaded),
        "unmatched": dict(unmatched),
        "checks": {check.name: str(check.observed) for check in checks},
    }


def publish(number: int) -> Numbers:
    """Publish an attempt's intervals, each in a transaction; what they have become."""
    started = time.monotonic()
    with store() as (settings, connection):
        attempt = _attempt(connection, number)
        contract = contract_of(settings, attempt.type)
        published = publish_attempt(connection, contract, attempt)
    return {
        "intervals": len(published),
        "rows": sum(interval.rows for interval in published),
        "duplicates": sum(interval.duplicates for interval in published),
        "conflicts": sum(interval.conflicts for interval in published),
        "seconds": round(time.monotonic() - started, 1),
    }


def reconcile(number: int, event: Any) -> Numbers:
    """Compare an attempt's published intervals with the flow; ``event`` is the asset's.

    Raises UnexplainedError when more differs than removed duplicates explain.
    """
    with store() as (settings, connection):
        attempt = _attempt(connection, number)
        contract = contract_of(settings, attempt.type)
        within = Interval(attempt.start, attempt.end)
        with transaction(connection) as cursor:
            reconciled = reconcile_intervals(cursor, contract, within)
    if reconciled.unexplained:
        shown = [list(map(str, (s.interval_start, *s.groups, s.value, s.events)))
                 for s in reconciled.unexplained[:UNEXPLAINED_MAX]]  # fmt: skip
        message = messages.drift(contract.type, reconciled.unexplained)
        raise UnexplainedError(message, {"attempt": number, "unexplained": shown})
    event.extra = {"start": attempt.start.isoformat(), "end": attempt.end.isoformat()}
    return {"compared": reconciled.compared, "duplicates": reconciled.duplicates, "unexplained": 0}


def _attempt(connection: Connection, number: int) -> Attempt:
    with transaction(connection) as cursor:
        return attempts.read(cursor, number)
