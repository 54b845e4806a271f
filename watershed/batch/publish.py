"""Publishing an attempt: from its staging table into schema ``report``, an interval at a time.

One transaction per interval replaces its facts and sums and writes its row of the ledger, under a
lock per contract. Whatever kills it, an interval is published whole or not at all, and publishing
the attempt again goes on with the rest. The flow needs no lock: up to the watermark it is final.
"""

from __future__ import annotations

from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from watershed.batch import attempts, expiry, facts, publish_statements, staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.checksums import checksum
from watershed.batch.intervals import Interval
from watershed.batch.publish_statements import Conflicts
from watershed.contracts.model import Contract
from watershed.errors import AttemptError
from watershed.stores.alerts import alert
from watershed.stores.locks import lock_publishing

SOURCE = "publish"


class Published(NamedTuple):
    """One interval as the ledger has it: ``events = rows + duplicates``, of which ``conflicts``
    have other content than the event they repeat; ``unmatched`` events by reference."""

    interval: Interval
    events: int
    rows: int
    duplicates: int
    conflicts: int
    unmatched: dict[str, int]
    checksum: str


def publish(connection: Connection, contract: Contract, attempt: Attempt) -> list[Published]:
    """Publish every interval of a checked attempt, and drop its staging table; commits.

    Returns what the ledger has of this attempt. One that was published before stays as it is.
    Raises AttemptError where the attempt may not be published: it was not checked, a newer one
    overlaps it, its staging table lost rows, or intervals before it are not final; IntervalError
    where the interval can no longer be made exactly. What was published before that stays.
    """
    for interval in attempt.intervals:
        with connection:  # commits, or rolls back on any error
            lock_publishing(connection, contract.type)
            if not _is_published(connection, attempt, interval):
                _refuse(connection, contract, attempt, interval)
                _publish(connection, contract, attempt, interval)
    with connection:
        lock_publishing(connection, contract.type)
        staging_table.drop(connection, attempt)
        connection.cursor().execute(
            "UPDATE control.attempt SET published_at = coalesce(published_at, clock_timestamp())"
            " WHERE attempt = %s",
            [attempt.attempt],
        )
        done = published(connection, attempt)
    facts.summarize(connection, contract, [start for start, _ in attempt.intervals])
    return done


def published(connection: Connection, attempt: Attempt) -> list[Published]:
    """The ledger's rows that come from an attempt, in order, in this connection's transaction."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT start_at, end_at, events, rows, duplicates, conflicts, unmatched, checksum"
        " FROM control.interval WHERE type = %s AND attempt = %s ORDER BY start_at",
        [attempt.type, attempt.attempt],
    )
    return [Published(Interval(start, end), *rest) for start, end, *rest in cursor.fetchall()]


def _is_published(connection: Connection, attempt: Attempt, interval: Interval) -> bool:
    """Whether the interval is this attempt's already, or was before a newer one's.

    An attempt is marked as published when all its intervals are.
    """
    cursor = connection.cursor()
    cursor.execute(
        "SELECT EXISTS (SELECT FROM control.interval WHERE type = %s AND start_at = %s"
        " AND attempt = %s) OR EXISTS (SELECT FROM control.attempt WHERE attempt = %s"
        " AND published_at IS NOT NULL)",
        [attempt.type, interval.start, attempt.attempt, attempt.attempt],
    )
    [found] = cursor.fetchone() or [False]
    return bool(found)


def _refuse(
    connection: Connection, contract: Contract, attempt: Attempt, interval: Interval
) -> None:
    """Raise unless the interval may be published from this attempt now."""
    attempts.refuse_overtaken(connection, attempt)
    cursor = connection.cursor()
    cursor.execute("SELECT checked_at FROM control.attempt WHERE attempt = %s", [attempt.attempt])
    if cursor.fetchone() in (None, (None,)):
        raise _error(attempt, "its quality checks have not passed", "run and mend them first")
    _refuse_place(connection, attempt, interval)
    expiry.check_readable(connection, contract, interval.start)
    _refuse_staging(connection, attempt, interval)


def _refuse_place(connection: Connection, attempt: Attempt, interval: Interval) -> None:
    """A first publication continues the ledger; a later one has the bounds of the first."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT (SELECT end_at FROM control.interval WHERE type = %s AND start_at = %s),"
        " (SELECT final_until FROM control.stream WHERE type = %s)",
        [attempt.type, interval.start, attempt.type],
    )
    known_end, until = cursor.fetchone() or (None, None)
    if known_end not in (None, interval.end):
        known = Interval(interval.start, known_end)
        raise _error(attempt, f"the ledger has {known}, not {interval}", "begin a new attempt")
    if known_end is None and until != interval.start:
        raise _error(
            attempt,
            f"{interval} is not the next interval, which begins at {until}",
            "finalize what comes before it, or begin a new attempt",
        )


def _refuse_staging(connection: Connection, attempt: Attempt, interval: Interval) -> None:
    """Keep others from writing to the staging table, and see whether it is as it was loaded.

    It is unlogged: PostgreSQL empties it when it recovers from a crash.
    """
    staging_table.hold(connection, attempt)
    cursor = connection.cursor()
    cursor.execute(
        sql.SQL(
            "SELECT (SELECT count(*) FROM {} WHERE interval_start = %s), (SELECT events"
            " FROM control.attempt_interval WHERE attempt = %s AND start_at = %s)"
        ).format(staging_table.table(attempt)),
        [interval.start, attempt.attempt, interval.start],
    )
    has, loaded = cursor.fetchone() or (None, None)
    if has != loaded:
        raise _error(
            attempt,
            f"its staging table has {has} events of {interval}, loaded were {loaded}",
            "begin a new attempt",
        )


def _publish(
    connection: Connection, contract: Contract, attempt: Attempt, interval: Interval
) -> None:
    """Replace the interval's facts and sums, and its row of the ledger.

    The stream's row comes last: while this transaction has touched it, the stream cannot commit.
    """
    facts.ensure_part(connection, contract, interval.start)
    place = publish_statements.Place(contract, attempt, interval)
    publish_statements.find_rivals(connection, place)
    publish_statements.replace_facts(connection, place)
    publish_statements.replace_sums(connection, place)
    conflicts = publish_statements.note_conflicts(connection, place)
    if conflicts.new:
        _alert_conflicts(connection, attempt, interval, conflicts)
    _alert_unexplained(
        connection, attempt, interval, publish_statements.unexplained(connection, place)
    )
    _finalize(connection, contract, attempt, interval, conflicts.all)


def _alert_conflicts(
    connection: Connection, attempt: Attempt, interval: Interval, conflicts: Conflicts
) -> None:
    alert(
        connection,
        SOURCE,
        f"{attempt.type} {interval}: {conflicts.new} events repeat an id with other content; the"
        " first one counts. See control.conflict, and ./ws trace EVENT_ID",
        attempt.type,
        {"attempt": attempt.attempt, "event_ids": conflicts.event_ids},
    )


def _alert_unexplained(
    connection: Connection, attempt: Attempt, interval: Interval, groups: int
) -> None:
    if groups:
        alert(
            connection,
            SOURCE,
            f"{attempt.type} {interval}: batch and flow differ in {groups} groups, and duplicates"
            " do not explain it. See report.reconciliation; ./ws audit tells which one is wrong",
            attempt.type,
            {"attempt": attempt.attempt, "groups": groups},
        )


def _finalize(
    connection: Connection,
    contract: Contract,
    attempt: Attempt,
    interval: Interval,
    conflicts: int,
) -> None:
    cursor = connection.cursor()
    own = sql.SQL("interval_start = %s")
    total = checksum(connection, facts.table(contract), own, [interval.start])
    rows = int(total.partition("-")[0])
    cursor.execute(
        "INSERT INTO control.interval AS i (type, start_at, end_at, attempt, events, rows,"
        " duplicates, conflicts, unmatched, checksum)"
        " SELECT %(type)s, start_at, end_at, attempt, events, %(rows)s, events - %(rows)s,"
        "  %(conflicts)s, unmatched, %(checksum)s FROM control.attempt_interval"
        "  WHERE attempt = %(attempt)s AND start_at = %(start)s"
        " ON CONFLICT (type, start_at) DO UPDATE SET attempt = excluded.attempt,"
        " events = excluded.events, rows = excluded.rows, duplicates = excluded.duplicates,"
        " conflicts = excluded.conflicts, unmatched = excluded.unmatched,"
        " checksum = excluded.checksum, published_at = clock_timestamp()",
        {"type": attempt.type, "attempt": attempt.attempt, "start": interval.start, "rows": rows,
         "conflicts": conflicts, "checksum": total},
    )  # fmt: skip
    cursor.execute(
        "UPDATE control.stream SET final_until = greatest(final_until, %s) WHERE type = %s",
        [interval.end, attempt.type],
    )


def _error(attempt: Attempt, why: str, cure: str) -> AttemptError:
    what = Interval(attempt.start, attempt.end)
    return AttemptError(
        f"attempt {attempt.attempt} at {attempt.type} {what} is not published: {why}", cure
    )
