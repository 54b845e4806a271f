"""One try to finalize a contiguous range of intervals: ``control.attempt``.

Everything that a run needs to know is in the attempt's row, so that any process can go on with it.
Of two attempts that overlap, the newer alone may publish.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.errors import AttemptError, LeaseHeldError
from watershed.stores.locks import holder_of, try_lock_session, unlock_session


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
    connection: Connection,
    contract: Contract,
    intervals: Sequence[Interval],
    snapshot: int,
    query_sha256: str,
    run_id: str,
) -> Attempt:
    """Begin an attempt at adjacent intervals, as :func:`intervals.plan` gives them; commits.

    Older attempts that overlap it can no longer be published.
    """
    start, end = intervals[0].start, intervals[-1].end
    with connection:
        cursor = connection.cursor()
        cursor.execute(
            "INSERT INTO control.attempt (type, start_at, end_at, snapshot, query_sha256,"
            " contract_version, run_id) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING attempt",
            [contract.type, start, end, snapshot, query_sha256, contract.version, run_id],
        )
        [number] = cursor.fetchone() or [0]
        rows = [(number, *interval) for interval in intervals]
        statement = "INSERT INTO control.attempt_interval (attempt, start_at, end_at) VALUES %s"
        execute_values(cursor, statement, rows)
        return read(connection, number)


def read(connection: Connection, attempt: int) -> Attempt:
    """The attempt of a number, in this connection's transaction. Raises AttemptError."""
    cursor = connection.cursor()
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


def of_run(connection: Connection, event_type: str, run_id: str) -> Attempt | None:
    """A run's last attempt, in this connection's transaction; None before one."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT max(attempt) FROM control.attempt WHERE type = %s AND run_id = %s",
        [event_type, run_id],
    )
    [found] = cursor.fetchone() or [None]
    return read(connection, found) if found is not None else None


def snapshots(
    connection: Connection, event_type: str, intervals: Sequence[Interval]
) -> dict[datetime, int]:
    """The snapshot that the ledger names for each final one of adjacent intervals, by its start;
    in this connection's transaction."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT i.start_at, a.snapshot FROM control.interval AS i"
        " JOIN control.attempt AS a USING (attempt)"
        " WHERE i.type = %s AND i.start_at >= %s AND i.end_at <= %s",
        [event_type, intervals[0].start, intervals[-1].end],
    )
    return dict(cursor.fetchall())


def refuse_overtaken(connection: Connection, attempt: Attempt) -> None:
    """Raise AttemptError when a newer attempt overlaps this one: that alone may publish."""
    cursor = connection.cursor()
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
    """Note what was read of each interval; commits. Raises AttemptError for other intervals."""
    if tuple(one.interval for one in loaded) != attempt.intervals:
        raise AttemptError(
            f"attempt {attempt.attempt}: what was loaded is not what was asked for",
            "begin a new attempt",
        )
    with connection:
        reset(connection, attempt)
        cursor = connection.cursor()
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


def loaded(connection: Connection, attempt: Attempt) -> list[Loaded]:
    """What was noted of each interval, in order, in this connection's transaction."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT start_at, end_at, events, repeated, unmatched FROM control.attempt_interval"
        " WHERE attempt = %s AND events IS NOT NULL ORDER BY start_at",
        [attempt.attempt],
    )
    return [Loaded(Interval(start, end), *rest) for start, end, *rest in cursor.fetchall()]


def reset(connection: Connection, attempt: Attempt) -> None:
    """Forget what an attempt had loaded and checked, uncommitted."""
    cursor = connection.cursor()
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


@contextmanager
def enriching(connection: Connection, event_type: str) -> Iterator[None]:
    """Be the only one who loads a contract's intervals, however this process ends.

    Raises LeaseHeldError when another run does. The connection must live as long as the work.
    """
    what = f"enriching {event_type}"
    if not try_lock_session(connection, what):
        raise LeaseHeldError(
            f"intervals of {event_type} are being loaded by {holder_of(connection, what)}",
            "wait until that run has ended, then try again",
        )
    try:
        yield
    finally:
        if not connection.closed:
            unlock_session(connection, what)
