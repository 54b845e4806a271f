"""Publishing an attempt: from its staging table into schema ``report``, an interval at a time.

One transaction per interval replaces its facts and sums and writes its row of the ledger, under a
lock per contract. Whatever kills it, an interval is published whole or not at all, and publishing
the attempt again goes on with the rest. The flow needs no lock: up to the watermark it is final.
"""

from __future__ import annotations

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.batch import (
    attempts,
    checksums,
    expiry,
    facts,
    ledger,
    publish_statements,
    staging_table,
)
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.batch.ledger import LedgerEntry
from watershed.batch.publish_statements import Conflicts, PublishTarget
from watershed.contracts.model import Contract
from watershed.errors import AttemptError
from watershed.stores.alerts import alert
from watershed.stores.locks import lock_publishing
from watershed.stores.postgres import transaction

SOURCE = "publish"


def publish(connection: Connection, contract: Contract, attempt: Attempt) -> list[LedgerEntry]:
    """Publish every interval of a checked attempt, and drop its staging table.

    Returns what the ledger has of this attempt. One that was published before stays as it is.
    Raises AttemptError where the attempt may not be published: it was not checked, a newer one
    overlaps it, its staging table lost rows, or intervals before it are not final; IntervalError
    where the interval can no longer be made exactly. What was published before that stays.
    """
    for interval in attempt.intervals:
        with transaction(connection) as cursor:
            lock_publishing(cursor, contract.type)
            if not _is_published(cursor, attempt, interval):
                _check(cursor, contract, attempt, interval)
                _publish(cursor, contract, attempt, interval)
    with transaction(connection) as cursor:
        lock_publishing(cursor, contract.type)
        staging_table.drop(cursor, attempt)
        attempts.note_published(cursor, attempt)
        entries = ledger.of_attempt(cursor, attempt)
    facts.summarize(connection, contract, [start for start, _ in attempt.intervals])
    return entries


def _is_published(cursor: Cursor, attempt: Attempt, interval: Interval) -> bool:
    """Whether the interval is this attempt's already, or was before a newer one's.

    An attempt is marked as published when all its intervals are.
    """
    is_its_own = ledger.has_from(cursor, attempt, interval.start)
    return is_its_own or attempts.is_published(cursor, attempt)


def _check(cursor: Cursor, contract: Contract, attempt: Attempt, interval: Interval) -> None:
    """Raise unless the interval may be published from this attempt now."""
    attempts.check_newest(cursor, attempt)
    if not attempts.is_checked(cursor, attempt):
        raise _error(attempt, "its quality checks have not passed", "run and mend them first")
    _check_order(cursor, attempt, interval)
    readable = expiry.readable_from(cursor, contract)
    expiry.check_readable(contract.type, interval.start, readable)
    _check_staging(cursor, attempt, interval)


def _check_order(cursor: Cursor, attempt: Attempt, interval: Interval) -> None:
    """A first publication continues the ledger; a later one has the bounds of the first."""
    known_end = ledger.end_of(cursor, attempt.type, interval.start)
    bounds = ledger.final_range(cursor, attempt.type)
    if known_end not in (None, interval.end):
        known = Interval(interval.start, known_end)
        raise _error(attempt, f"the ledger has {known}, not {interval}", "begin a new attempt")
    if known_end is None and (bounds is None or bounds.end != interval.start):
        raise _error(
            attempt,
            f"{interval} is not the next interval, which begins at {bounds and bounds.end}",
            "publish what comes before it, or begin a new attempt",
        )


def _check_staging(cursor: Cursor, attempt: Attempt, interval: Interval) -> None:
    """Keep others from writing to the staging table, and see whether it is as it was loaded.

    It is unlogged: PostgreSQL empties it when it recovers from a crash.
    """
    staging_table.hold(cursor, attempt)
    has = staging_table.count(cursor, attempt, interval)
    loaded = attempts.events_of(cursor, attempt, interval)
    if has != loaded:
        raise _error(
            attempt,
            f"its staging table has {has} events of {interval}, loaded were {loaded}",
            "begin a new attempt",
        )


def _publish(cursor: Cursor, contract: Contract, attempt: Attempt, interval: Interval) -> None:
    """Replace the interval's facts and sums, and its row of the ledger.

    The stream's row comes last: while this transaction has touched it, the stream cannot commit.
    """
    facts.ensure_part(cursor, contract, interval.start)
    target = PublishTarget(contract, attempt, interval)
    publish_statements.find_rivals(cursor, target)
    publish_statements.replace_facts(cursor, target)
    publish_statements.replace_sums(cursor, target)
    conflicts = publish_statements.note_conflicts(cursor, target)
    if conflicts.new:
        _alert_conflicts(cursor, attempt, interval, conflicts)
    _alert_unexplained(cursor, attempt, interval, publish_statements.unexplained(cursor, target))
    checksum = checksums.of_interval(cursor, contract, interval.start)
    ledger.publish(cursor, attempt, interval, conflicts.all, checksum)


def _alert_conflicts(
    cursor: Cursor, attempt: Attempt, interval: Interval, conflicts: Conflicts
) -> None:
    alert(
        cursor,
        SOURCE,
        f"{attempt.type} {interval}: {conflicts.new} events repeat an id with other content; the"
        " first one counts. See control.conflict, and ./ws trace EVENT_ID",
        attempt.type,
        {"attempt": attempt.attempt, "event_ids": conflicts.event_ids},
    )


def _alert_unexplained(cursor: Cursor, attempt: Attempt, interval: Interval, groups: int) -> None:
    if groups:
        alert(
            cursor,
            SOURCE,
            f"{attempt.type} {interval}: batch and flow differ in {groups} groups, and duplicates"
            f" do not explain it. See report.{attempt.type}_reconciliation; ./ws audit tells which"
            " one is wrong",
            attempt.type,
            {"attempt": attempt.attempt, "groups": groups},
        )


def _error(attempt: Attempt, why: str, cure: str) -> AttemptError:
    what = Interval(attempt.start, attempt.end)
    return AttemptError(
        f"attempt {attempt.attempt} at {attempt.type} {what} is not published: {why}", cure
    )
