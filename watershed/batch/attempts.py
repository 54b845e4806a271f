"""Attempts: tries to publish adjacent intervals, ``control.attempt``.

Everything that a run needs to know is in the attempt's row, so that any process can go on with it.
Of two attempts that overlap, the newer alone may publish.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.errors import AttemptError
from watershed.stores import locks
from watershed.stores.postgres import transaction


@dataclass(frozen=True)
class Attempt:
    """A try at ``[start, end)``, with the inputs that make its result repeatable.

    ``snapshot`` is the number of the reference data, ``query_sha256`` the digest of enrich.sql,
    ``run_id`` the Airflow run, or the command, that began it.
    """

    attempt: int
    type: str
    start: datetime
    end: datetime
    snapshot: int
    query_sha256: str
    contract_version: int
    run_id: str
    intervals: tuple[Interval, ...]


class Loaded(NamedTuple):
    """What was loaded of one interval: ``events`` rows, of which ``repeated`` are not the first
    of their id; ``unmatched`` events by reference."""

    interval: Interval
    events: int
    repeated: int
    unmatched: dict[str, int]


def begin(
    cursor: Cursor,
    contract: Contract,
    intervals: Sequence[Interval],
    snapshot: int,
    query_sha256: str,
    run_id: str,
) -> Attempt:
    """Begin an attempt at adjacent intervals, as :func:`plan.plan` gives them.

    Older attempts that overlap it can no longer be published.
    """
    start, end = intervals[0].start, intervals[-1].end
    cursor.execute(
        "INSERT INTO control.attempt (type, start_at, end_at, snapshot, query_sha256,"
        " contract_version, run_id) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING attempt",
        [contract.type, start, end, snapshot, query_sha256, contract.version, run_id],
    )
    [number] = cursor.fetchone() or [0]
    rows = [(number, *interval) for interval in intervals]
    statement = "INSERT INTO control.attempt_interval (attempt, start_at, end_at) VALUES %s"
    execute_values(cursor, statement, rows)
    return read(cursor, number)


def read(cursor: Cursor, attempt: int) -> Attempt:
    """The attempt of a number. Raises AttemptError."""
    cursor.execute(
        "SELECT attempt, type, start_at, end_at, snapshot, query_sha256, contract_version, run_id"
        " FROM control.attempt WHERE attempt = %s",
        [attempt],
    )
    found = cursor.fetchone()
    if found is None:
        raise AttemptError(f"there is no attempt {attempt}", "see control.attempt")
    cursor.execute(
        "SELECT start_at, end_at FROM control.attempt_interval WHERE attempt = %s"
        " ORDER BY start_at",
        [attempt],
    )
    intervals = tuple(Interval(*one) for one in cursor.fetchall())
    return Attempt(*[*found, intervals])


def of_run(cursor: Cursor, event_type: str, run_id: str) -> Attempt | None:
    """A run's last attempt; None before one."""
    cursor.execute(
        "SELECT max(attempt) FROM control.attempt WHERE type = %s AND run_id = %s",
        [event_type, run_id],
    )
    [found] = cursor.fetchone() or [None]
    return read(cursor, found) if found is not None else None


def is_published(cursor: Cursor, attempt: Attempt) -> bool:
    """Whether all intervals of an attempt were published."""
    return _is_set(cursor, "published_at", attempt)


def is_checked(cursor: Cursor, attempt: Attempt) -> bool:
    """Whether every quality check of an attempt had passed."""
    return _is_set(cursor, "checked_at", attempt)


def is_loaded(cursor: Cursor, attempt: Attempt) -> bool:
    """Whether an attempt's job has filled its staging table."""
    return _is_set(cursor, "loaded_at", attempt)


def _is_set(cursor: Cursor, column: str, attempt: Attempt) -> bool:
    cursor.execute(
        f"SELECT {column} IS NOT NULL FROM control.attempt WHERE attempt = %s", [attempt.attempt]
    )
    [is_set] = cursor.fetchone() or [False]
    return bool(is_set)


def events_of(cursor: Cursor, attempt: Attempt, interval: Interval) -> int | None:
    """How many events were loaded of an interval; None where it was not."""
    cursor.execute(
        "SELECT events FROM control.attempt_interval WHERE attempt = %s AND start_at = %s",
        [attempt.attempt, interval.start],
    )
    [events] = cursor.fetchone() or [None]
    return events


def note_published(cursor: Cursor, attempt: Attempt) -> None:
    """Note that all intervals of an attempt are published."""
    cursor.execute(
        "UPDATE control.attempt SET published_at = coalesce(published_at, clock_timestamp())"
        " WHERE attempt = %s",
        [attempt.attempt],
    )


def check_newest(cursor: Cursor, attempt: Attempt) -> None:
    """Raise AttemptError when a newer attempt overlaps this one: that alone may publish."""
    cursor.execute(
        "SELECT max(attempt) FROM control.attempt"
        " WHERE type = %s AND start_at < %s AND end_at > %s",
        [attempt.type, attempt.end, attempt.start],
    )
    [newest] = cursor.fetchone() or [None]
    if newest != attempt.attempt:
        raise AttemptError(
            f"attempt {newest} is newer and overlaps attempt {attempt.attempt} at {attempt.type}"
            f" {Interval(attempt.start, attempt.end)}, which is not published",
            "leave it to the newer one, or begin again",
        )


def note_loaded(connection: Connection, attempt: Attempt, loaded: Sequence[Loaded]) -> None:
    """Note what was read of each interval. Raises AttemptError for other intervals."""
    if tuple(one.interval for one in loaded) != attempt.intervals:
        raise AttemptError(
            f"attempt {attempt.attempt}: what was loaded is not what was asked for",
            "begin a new attempt",
        )
    with transaction(connection) as cursor:
        reset(cursor, attempt)
        for one in loaded:
            cursor.execute(
                "UPDATE control.attempt_interval SET events = %s, repeated = %s, unmatched = %s"
                " WHERE attempt = %s AND start_at = %s",
                [one.events, one.repeated, json.dumps(one.unmatched), attempt.attempt,
                 one.interval.start],
            )  # fmt: skip
        cursor.execute(
            "UPDATE control.attempt SET loaded_at = clock_timestamp() WHERE attempt = %s",
            [attempt.attempt],
        )


def loaded(cursor: Cursor, attempt: Attempt) -> list[Loaded]:
    """What was noted of each interval, in order."""
    cursor.execute(
        "SELECT start_at, end_at, events, repeated, unmatched FROM control.attempt_interval"
        " WHERE attempt = %s AND events IS NOT NULL ORDER BY start_at",
        [attempt.attempt],
    )
    return [Loaded(Interval(start, end), *rest) for start, end, *rest in cursor.fetchall()]


def reset(cursor: Cursor, attempt: Attempt) -> None:
    """Forget what an attempt had loaded and checked."""
    cursor.execute(
        "UPDATE control.attempt SET loaded_at = NULL, checks = NULL, checked_at = NULL"
        " WHERE attempt = %s",
        [attempt.attempt],
    )
    cursor.execute(
        "UPDATE control.attempt_interval SET events = NULL, repeated = NULL, unmatched = NULL"
        " WHERE attempt = %s",
        [attempt.attempt],
    )


def enriching(connection: Connection, event_type: str) -> AbstractContextManager[None]:
    """Be the only one who loads a contract's intervals: :func:`watershed.stores.locks.hold`."""
    return locks.hold(connection, f"enriching {event_type}")
