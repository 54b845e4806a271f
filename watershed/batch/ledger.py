"""The ledger of intervals that were published or skipped: ``control.interval``.

What it has keeps its bounds; what follows is cut by a grid, the multiples of ``batch_interval_s``.
First publications come strictly in order, so it covers ``[final_from, final_until)`` without a
gap; both are in ``control.stream``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.batch import expiry
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import DAY_S, Frontier, Interval, check_width, cut
from watershed.contracts.model import Contract
from watershed.errors import IntervalError
from watershed.speed import flow, progress, time_index
from watershed.stores.locks import lock_publishing
from watershed.stores.operator_log import log_operation
from watershed.stores.postgres import transaction
from watershed.timestamps import floored

PUBLISHED = sql.SQL(
    "SELECT start_at, end_at FROM control.interval WHERE type = %(type)s AND attempt IS NOT NULL"
)
"""The published intervals of a contract, for queries that join them."""


class LedgerEntry(NamedTuple):
    """One published interval: ``events = rows + duplicates``, of which ``conflicts`` have other
    content than the event they repeat; ``unmatched`` events by reference."""

    interval: Interval
    events: int
    rows: int
    duplicates: int
    conflicts: int
    unmatched: dict[str, int]
    checksum: str


@dataclass(frozen=True)
class NewestEntry:
    """The newest interval of the ledger; ``skipped`` by an operator, it has no numbers."""

    start: datetime
    end: datetime
    skipped: bool
    rows: int
    duplicates: int
    conflicts: int


class RepeatableEntry(NamedTuple):
    """An interval with its ``events``; ``run_id`` is of the attempt it came from, None where it
    was skipped, or cannot be made again."""

    interval: Interval
    events: int
    run_id: str | None


def ensure_apart(cursor: Cursor, contract: Contract) -> None:
    """Let no two intervals of the contract overlap, whoever writes the ledger.

    One constraint per contract: equality of types would need an extension in the same index.
    """
    name = f"interval_{contract.type}_apart"
    cursor.execute("SELECT FROM pg_constraint WHERE conname = %s", [name])
    if cursor.fetchone() is None:
        cursor.execute(
            sql.SQL(
                "ALTER TABLE control.interval ADD CONSTRAINT {} EXCLUDE USING gist"
                " (tstzrange(start_at, end_at) WITH &&) WHERE (type = {})"
            ).format(sql.Identifier(name), sql.Literal(contract.type))
        )


def frontier(cursor: Cursor, contract: Contract, width_s: int) -> Frontier | None:
    """Where the ledger begins and ends; None while no first interval is complete.

    The first use decides where the first interval begins. Raises SettingsError for a width that
    does not fit the contract's flow.
    """
    check_width(contract, width_s)
    watermark = progress.complete_until(cursor, contract.type)
    if watermark is None:
        return None
    readable = expiry.readable_from(cursor, contract)
    bounds = final_range(cursor, contract.type)
    if bounds is None:
        _begin(cursor, contract, width_s, floored(watermark, width_s), readable)
        bounds = final_range(cursor, contract.type)
    return Frontier(*bounds, watermark, readable) if bounds else None


def final_range(cursor: Cursor, event_type: str) -> Interval | None:
    """What the ledger covers; None before the first interval."""
    cursor.execute(
        "SELECT final_from, final_until FROM control.stream"
        " WHERE type = %s AND final_from IS NOT NULL",
        [event_type],
    )
    row = cursor.fetchone()
    return Interval(*row) if row else None


def _begin(
    cursor: Cursor, contract: Contract, width_s: int, complete: datetime, readable: datetime
) -> None:
    """Let the ledger begin with the first arrival, once an interval that is to be published is
    ``complete``: none before it follows, since every partition is complete up to the watermark.

    What has expired is skipped: the flow, which goes back further, has its sums.
    """
    oldest = time_index.oldest(cursor, contract.type), flow.oldest(cursor, contract)
    start = end = floored(min((time for time in oldest if time), default=complete), width_s)
    if start < readable + expiry.LONGEST_RUN:
        end = floored(readable + expiry.LONGEST_RUN, width_s) + timedelta(seconds=width_s)
    if end >= complete:
        return
    cursor.execute(
        "UPDATE control.stream SET final_from = %s, final_until = %s"
        " WHERE type = %s AND final_from IS NULL",
        [start, end, contract.type],
    )
    if cursor.rowcount:
        for day in cut(Interval(start, end), DAY_S):  # history is pruned by whole months
            _add_skipped(cursor, contract.type, Interval(day.start, min(day.end, end)))


def read(cursor: Cursor, event_type: str, within: Interval) -> list[Interval]:
    """The published and skipped intervals that overlap a range, in order."""
    cursor.execute(
        "SELECT start_at, end_at FROM control.interval"
        " WHERE type = %s AND end_at > %s AND start_at < %s ORDER BY start_at",
        [event_type, *within],
    )
    return [Interval(*row) for row in cursor.fetchall()]


def end_of(cursor: Cursor, event_type: str, start: datetime) -> datetime | None:
    """Where the interval ends that begins then; None when the ledger has none."""
    cursor.execute(
        "SELECT end_at FROM control.interval WHERE type = %s AND start_at = %s",
        [event_type, start],
    )
    [end] = cursor.fetchone() or [None]
    return end


def newest(cursor: Cursor, event_type: str) -> NewestEntry | None:
    """The last interval of the ledger."""
    cursor.execute(
        "SELECT start_at, end_at, attempt IS NULL, rows, duplicates, conflicts"
        " FROM control.interval WHERE type = %s ORDER BY start_at DESC LIMIT 1",
        [event_type],
    )
    row = cursor.fetchone()
    return NewestEntry(*row) if row else None


def age_s(cursor: Cursor, until: datetime) -> float:
    """How long ago an arrival time is, in seconds, by PostgreSQL's clock."""
    cursor.execute("SELECT extract(epoch FROM clock_timestamp() - %s)::float", [until])
    return float(cursor.fetchone()[0])  # type: ignore[index]


def of_attempt(cursor: Cursor, attempt: Attempt) -> list[LedgerEntry]:
    """What comes from an attempt, in order."""
    cursor.execute(
        "SELECT start_at, end_at, events, rows, duplicates, conflicts, unmatched, checksum"
        " FROM control.interval WHERE type = %s AND attempt = %s ORDER BY start_at",
        [attempt.type, attempt.attempt],
    )
    return [LedgerEntry(Interval(start, end), *rest) for start, end, *rest in cursor.fetchall()]


def has_from(cursor: Cursor, attempt: Attempt, start: datetime) -> bool:
    """Whether the interval that begins then comes from an attempt."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM control.interval"
        " WHERE type = %s AND start_at = %s AND attempt = %s)",
        [attempt.type, start, attempt.attempt],
    )
    return bool(cursor.fetchone()[0])  # type: ignore[index]


def snapshots(
    cursor: Cursor, event_type: str, intervals: Sequence[Interval]
) -> dict[datetime, int]:
    """The snapshot that each published one of adjacent intervals was made with, by its start."""
    cursor.execute(
        "SELECT i.start_at, a.snapshot FROM control.interval AS i"
        " JOIN control.attempt AS a USING (attempt)"
        " WHERE i.type = %s AND i.start_at >= %s AND i.end_at <= %s",
        [event_type, intervals[0].start, intervals[-1].end],
    )
    return dict(cursor.fetchall())


def repeatable(cursor: Cursor, contract: Contract, until: datetime) -> list[RepeatableEntry]:
    """The ledger up to ``until``, in order; without a run where it cannot be made again."""
    readable = expiry.readable_from(cursor, contract) + expiry.LONGEST_RUN
    cursor.execute(
        "SELECT i.start_at, i.end_at, i.events, CASE WHEN i.start_at >= %s THEN run_id END"
        " FROM control.interval AS i LEFT JOIN control.attempt USING (attempt)"
        " WHERE i.type = %s AND i.end_at <= %s ORDER BY i.start_at",
        [readable, contract.type, until],
    )
    return [RepeatableEntry(Interval(start, end), *rest) for start, end, *rest in cursor.fetchall()]


def checksums(cursor: Cursor, event_type: str, since: datetime) -> dict[datetime, str]:
    """The checksum of the facts of each published interval from ``since`` on, by its start."""
    cursor.execute(
        "SELECT start_at, checksum FROM control.interval"
        " WHERE type = %s AND attempt IS NOT NULL AND start_at >= %s",
        [event_type, since],
    )
    return dict(cursor.fetchall())


def publish(
    cursor: Cursor, attempt: Attempt, interval: Interval, conflicts: int, checksum: str
) -> None:
    """Note that an interval's facts, with this checksum, come from an attempt."""
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
        {"type": attempt.type, "attempt": attempt.attempt, "start": interval.start,
         "rows": int(checksum.partition("-")[0]), "conflicts": conflicts, "checksum": checksum},
    )  # fmt: skip
    _finalize(cursor, attempt.type, interval.end)


def skip(connection: Connection, contract: Contract, interval: Interval) -> None:
    """Go past an interval that cannot be published; logged.

    Its sums remain those of the flow, until a later attempt at it is published. Raises
    IntervalError unless it is the one that would be published next.
    """
    with transaction(connection) as cursor:
        lock_publishing(cursor, contract.type)
        bounds = final_range(cursor, contract.type)
        if bounds is None or bounds.end != interval.start:
            raise IntervalError(
                f"{contract.type}: {interval} is not the next one to be published:"
                f" that begins at {bounds.end:%Y-%m-%d %H:%M}"
                if bounds
                else f"{contract.type}: nothing is to be published yet",
                "skip the next one, or leave it to the next run",
            )
        start, end = interval
        command = f"./ws skip-interval {contract.type} {start:%Y-%m-%dT%H:%MZ}"
        log_operation(cursor, command, contract.type, {"start": str(start), "end": str(end)})
        _add_skipped(cursor, contract.type, interval)
        _finalize(cursor, contract.type, end)


def prune(cursor: Cursor, event_type: str, before: datetime) -> None:
    """Delete intervals that begin before a time, which were folded into the opening balance."""
    cursor.execute(
        "DELETE FROM control.interval WHERE type = %s AND start_at < %s", [event_type, before]
    )
    cursor.execute(
        "UPDATE control.stream SET final_from = %s, pruned_until = %s WHERE type = %s",
        [before, before, event_type],
    )


def _add_skipped(cursor: Cursor, event_type: str, interval: Interval) -> None:
    cursor.execute(
        "INSERT INTO control.interval (type, start_at, end_at) VALUES (%s, %s, %s)",
        [event_type, *interval],
    )


def _finalize(cursor: Cursor, event_type: str, until: datetime) -> None:
    """Let everything be final that arrived before a time."""
    cursor.execute(
        "UPDATE control.stream SET final_until = greatest(final_until, %s) WHERE type = %s",
        [until, event_type],
    )
