"""Which intervals of arrival time there are, and the ledger of those published or skipped.

An interval is ``[start, end)``. What the ledger, ``control.interval``, has keeps its bounds; what
follows is cut by a grid, the multiples of ``batch_interval_s``. First publications come strictly in
order, so the ledger covers ``[final_from, final_until)`` without a gap.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg2.extensions import connection as Connection

from watershed.batch import expiry
from watershed.contracts.model import Contract
from watershed.errors import IntervalError, SettingsError
from watershed.speed import flow, progress, time_index
from watershed.stores.locks import lock_publishing
from watershed.stores.operator_log import log_operation
from watershed.timestamps import EPOCH

HOUR_S, DAY_S = 3_600, 86_400


class Interval(NamedTuple):
    """Arrival times from ``start`` up to, but not including, ``end``; in UTC."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"[{self.start:%Y-%m-%d %H:%M}, {self.end:%Y-%m-%d %H:%M})"


class Frontier(NamedTuple):
    """The ledger covers ``[final_from, final_until)``; the raw store is complete before
    ``watermark``."""

    final_from: datetime
    final_until: datetime
    watermark: datetime


def pending(connection: Connection, contract: Contract, interval_s: int) -> Interval | None:
    """Everything that is complete in the raw store and not final, as one range; commits.

    None when there is nothing. The first use decides where the first interval begins. Raises
    SettingsError for an interval that does not fit the contract's flow.
    """
    with connection:
        found = frontier(connection, contract, interval_s)
    if found is None:
        return None
    until = floor(found.watermark, interval_s)
    return Interval(found.final_until, until) if until > found.final_until else None


def plan(
    connection: Connection, contract: Contract, wanted: Interval, interval_s: int
) -> list[Interval]:
    """The intervals that a range consists of, in order; commits.

    Raises IntervalError where the range cuts an interval, leaves out earlier ones that are not
    final, goes past the watermark, or reaches back to what has expired.
    """
    with connection:
        found = frontier(connection, contract, interval_s)
        if found is None or wanted.end > found.watermark:
            raise IntervalError(
                f"{contract.type}: {wanted} is not complete in the raw store:"
                f" it is up to {found.watermark if found else 'no moment yet'}",
                "wait until the watermark has passed it; ./ws status shows it",
            )
        _check_range(connection, contract, wanted, found)
        known = ledger(connection, contract.type, wanted)
    rest = Interval(max(wanted.start, found.final_until), wanted.end)
    return _whole(contract, wanted, [*known, *cut(rest, interval_s)])


def _check_range(
    connection: Connection, contract: Contract, wanted: Interval, found: Frontier
) -> None:
    if wanted.start >= wanted.end:
        raise IntervalError(f"{contract.type}: {wanted} is empty", "give a later end")
    if wanted.start > found.final_until:
        first = Interval(found.final_until, wanted.start)
        raise IntervalError(
            f"{contract.type}: {first} is not final, and intervals become final in order",
            f"begin the range at {found.final_until:%Y-%m-%dT%H:%MZ}",
        )
    if wanted.start < found.final_from:
        raise IntervalError(
            f"{contract.type}: {wanted} begins before {found.final_from:%Y-%m-%d %H:%M}, where"
            " the ledger begins",
            "begin the range there or later; what was before is in the opening balance",
        )
    expiry.check_readable(connection, contract, wanted.start)


def _whole(contract: Contract, wanted: Interval, parts: list[Interval]) -> list[Interval]:
    """The parts, if they make up the range."""
    first, last = parts[0], parts[-1]
    if (first.start, last.end) != wanted:
        faulty = first if first.start != wanted.start else last
        raise IntervalError(
            f"{contract.type}: {wanted} cuts the interval {faulty}",
            f"take it whole: from {first.start:%Y-%m-%dT%H:%MZ} to {last.end:%Y-%m-%dT%H:%MZ}",
        )
    return parts


def frontier(connection: Connection, contract: Contract, interval_s: int) -> Frontier | None:
    """Where the ledger begins and ends, in this connection's transaction.

    None while no first interval is complete.
    """
    check_width(contract, interval_s)
    watermark = progress.complete_until(connection, contract.type)
    if watermark is None:
        return None
    begun = _final(connection, contract)
    if begun is None:
        _begin(connection, contract, interval_s, floor(watermark, interval_s))
        begun = _final(connection, contract)
    return Frontier(*begun, watermark) if begun else None


def _final(connection: Connection, contract: Contract) -> Interval | None:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT final_from, final_until FROM control.stream"
        " WHERE type = %s AND final_from IS NOT NULL",
        [contract.type],
    )
    found = cursor.fetchone()
    return Interval(*found) if found else None


def _begin(connection: Connection, contract: Contract, interval_s: int, complete: datetime) -> None:
    """Let the ledger begin with the first arrival, once an interval that is to be made final is
    ``complete``: none before it follows, since every partition is complete up to the watermark.

    What has expired is skipped: the flow, which goes back further, has its sums.
    """
    oldest = time_index.oldest(connection, contract.type), flow.oldest(connection, contract)
    start = end = floor(min((time for time in oldest if time), default=complete), interval_s)
    readable = expiry.readable_from(connection, contract) + expiry.LONGEST_RUN
    if start < readable:
        end = floor(readable, interval_s) + timedelta(seconds=interval_s)
    if end >= complete:
        return
    cursor = connection.cursor()
    cursor.execute(
        "UPDATE control.stream SET final_from = %s, final_until = %s"
        " WHERE type = %s AND final_from IS NULL",
        [start, end, contract.type],
    )
    if cursor.rowcount:
        for day in cut(Interval(start, end), DAY_S):  # history is pruned by whole months
            _go_past(connection, contract, Interval(day.start, min(day.end, end)))


def check_width(contract: Contract, interval_s: int) -> None:
    """Raise SettingsError unless intervals divide a day, in minutes, into whole flow windows, and
    are no longer than the lookback: within an interval an id counts once whatever its age, so what
    is a duplicate would depend on the width."""
    if interval_s % 60 or DAY_S % interval_s or interval_s % contract.flow.window_s:
        raise SettingsError(
            f"WATERSHED_BATCH_INTERVAL_S={interval_s} does not fit {contract.type}",
            "it must be a divisor of a day, in whole minutes, and a multiple of flow.window_s,"
            f" {contract.flow.window_s}",
        )
    if interval_s > contract.lookback_hours * HOUR_S:
        raise SettingsError(
            f"WATERSHED_BATCH_INTERVAL_S={interval_s} is longer than {contract.type} looks back for"
            f" repeated events: lookback_hours is {contract.lookback_hours}",
            f"make it {contract.lookback_hours * HOUR_S} at most, or raise the contract's"
            " lookback_hours, and its version",
        )


def ledger(connection: Connection, event_type: str, within: Interval) -> list[Interval]:
    """The final and skipped intervals that overlap a range, in order."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT start_at, end_at FROM control.interval"
        " WHERE type = %s AND end_at > %s AND start_at < %s ORDER BY start_at",
        [event_type, *within],
    )
    return [Interval(*row) for row in cursor.fetchall()]


def skip(connection: Connection, contract: Contract, interval: Interval) -> None:
    """Go past an interval that cannot be made final; logged; commits.

    Its sums remain those of the flow, until a later attempt at it is published. Raises
    IntervalError unless it is the one that would be made final next.
    """
    with connection:
        lock_publishing(connection, contract.type)
        cursor = connection.cursor()
        cursor.execute("SELECT final_until FROM control.stream WHERE type = %s", [contract.type])
        [until] = cursor.fetchone() or [None]
        if until != interval.start:
            raise IntervalError(
                f"{contract.type}: {interval} is not the next one to be made final:"
                f" that begins at {until:%Y-%m-%d %H:%M}"
                if until
                else f"{contract.type}: nothing is to be made final yet",
                "skip the next one, or leave it to the next run",
            )
        start, end = interval
        command = f"./ws skip-interval {contract.type} {start:%Y-%m-%dT%H:%MZ}"
        log_operation(connection, command, contract.type, {"start": str(start), "end": str(end)})
        _go_past(connection, contract, interval)
        cursor.execute(
            "UPDATE control.stream SET final_until = %s WHERE type = %s", [end, contract.type]
        )


def _go_past(connection: Connection, contract: Contract, interval: Interval) -> None:
    """Note an interval as skipped, uncommitted."""
    connection.cursor().execute(
        "INSERT INTO control.interval (type, start_at, end_at) VALUES (%s, %s, %s)",
        [contract.type, *interval],
    )


def floor(time: datetime, interval_s: int) -> datetime:
    """The grid's last line at or before a time."""
    return time - (time - EPOCH) % timedelta(seconds=interval_s)


def cut(whole: Interval, interval_s: int) -> list[Interval]:
    """A range cut at the grid's lines; the last part ends on one, be it after the range."""
    parts = []
    at = whole.start
    while at < whole.end:
        following = floor(at, interval_s) + timedelta(seconds=interval_s)
        parts.append(Interval(at, following))
        at = following
    return parts
