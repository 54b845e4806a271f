"""The plan of a run: the intervals it publishes, and with which reference data. Pure: no store.

A run is asked for a form's range, or for the interval of a partition key, or for nothing, which
means all that is *pending*: complete in the raw store and not final.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from itertools import groupby
from typing import NamedTuple

from watershed.batch import expiry
from watershed.batch.intervals import Frontier, Interval, cut
from watershed.errors import IntervalError
from watershed.timestamps import floored

SHOWN = 4


class Origin(Enum):
    """Where a run's range comes from."""

    FORM = "the form's range"
    SCHEDULE = "the partition key of a scheduled run"
    KEY = "a partition key that a person named"
    ATTEMPT = "the run's last attempt"
    NOTHING = "nothing asked for"


class Asked(NamedTuple):
    """What a run was asked for, of one contract; ``range`` is None where that is all pending."""

    event_type: str
    origin: Origin
    range: Interval | None = None


class Limit(NamedTuple):
    """The most ``events`` that one run publishes, unless a single interval has more.

    ``arrived`` has how many events arrived, by the grid's lines. A Spark job's time, and the room
    that it takes on the disk, grow with them: without a bound a long outage would be one run that
    never ends in time, begun again and again.
    """

    events: int
    arrived: Mapping[datetime, int]

    def within(self, interval: Interval) -> int:
        """How many events arrived in an interval."""
        return sum(n for line, n in self.arrived.items() if interval.start <= line < interval.end)


def plan(
    asked: Asked,
    frontier: Frontier | None,
    ledger: Sequence[Interval],
    width_s: int,
    limit: Limit,
) -> list[Interval]:
    """The intervals that a run publishes, in order; none where there is nothing to do.

    ``frontier`` is None while no first interval is complete; ``ledger`` has the intervals of what
    was asked for that were published or skipped, and may have others. What follows it is cut by a
    grid of ``width_s``.

    A partition key that is not final stands for all that is pending: one run catches up a night's
    outage. A scheduled key that is final was caught up by another run, one before the first event
    has nothing to publish. Raises IntervalError where a range cuts an interval, leaves out earlier
    ones that are not final, goes past the watermark, reaches back to what has expired, or has more
    events than one run publishes.
    """
    wanted = asked.range
    is_key = asked.origin in (Origin.KEY, Origin.SCHEDULE)
    if wanted is None or (is_key and (frontier is None or wanted.end > frontier.final_until)):
        return _pending(frontier, width_s, limit)
    if is_key and frontier and _is_done(asked.origin, wanted, frontier):
        return []
    intervals = _asked_for(asked.event_type, wanted, frontier, ledger, width_s)
    if asked.origin is not Origin.ATTEMPT:
        _check_size(asked.event_type, intervals, limit)
    return intervals


def next_interval(event_type: str, frontier: Frontier | None, width_s: int) -> Interval:
    """The interval that is to be published next. Raises IntervalError for none yet."""
    pending = _grid(frontier, width_s)
    if not pending:
        raise IntervalError(f"no interval of {event_type} is complete and not final", "wait")
    return pending[0]


def _grid(frontier: Frontier | None, width_s: int) -> list[Interval]:
    """All that is pending, as intervals."""
    if frontier is None:
        return []
    until = floored(frontier.watermark, width_s)
    return cut(Interval(frontier.final_until, until), width_s)


def _pending(frontier: Frontier | None, width_s: int, limit: Limit) -> list[Interval]:
    """The first intervals that are pending, one at least, as far as the limit allows."""
    pending = _grid(frontier, width_s)
    return pending[: max(1, _fitting(pending, limit))]


def _fitting(intervals: Sequence[Interval], limit: Limit) -> int:
    """How many of the first intervals have no more events than the limit together."""
    events = 0
    for number, interval in enumerate(intervals):
        events += limit.within(interval)
        if events > limit.events:
            return number
    return len(intervals)


def _is_done(origin: Origin, wanted: Interval, frontier: Frontier) -> bool:
    return origin is Origin.SCHEDULE or wanted.end <= frontier.final_from


def _asked_for(
    event_type: str,
    wanted: Interval,
    frontier: Frontier | None,
    ledger: Sequence[Interval],
    width_s: int,
) -> list[Interval]:
    """The intervals that make up a range, which may be published."""
    if frontier is None or wanted.end > frontier.watermark:
        raise IntervalError(
            f"{event_type}: {wanted} is not complete in the raw store:"
            f" it is up to {frontier.watermark if frontier else 'no moment yet'}",
            "wait until the watermark has passed it; ./ws status shows it",
        )
    _check_range(event_type, wanted, frontier)
    known = [known for known in ledger if known.end > wanted.start and known.start < wanted.end]
    rest = Interval(max(wanted.start, frontier.final_until), wanted.end)
    return _whole(event_type, wanted, [*known, *cut(rest, width_s)])


def _check_range(event_type: str, wanted: Interval, frontier: Frontier) -> None:
    if wanted.start >= wanted.end:
        raise IntervalError(f"{event_type}: {wanted} is empty", "give a later end")
    if wanted.start > frontier.final_until:
        first = Interval(frontier.final_until, wanted.start)
        raise IntervalError(
            f"{event_type}: {first} is not final, and intervals become final in order",
            f"begin the range at {frontier.final_until:%Y-%m-%dT%H:%MZ}",
        )
    if wanted.start < frontier.final_from:
        raise IntervalError(
            f"{event_type}: {wanted} begins before {frontier.final_from:%Y-%m-%d %H:%M}, where"
            " the ledger begins",
            "begin the range there or later; what was before is in the opening balance",
        )
    expiry.check_readable(event_type, wanted.start, frontier.readable_from)


def _whole(event_type: str, wanted: Interval, intervals: list[Interval]) -> list[Interval]:
    """The intervals, if they make up the range."""
    first, last = intervals[0], intervals[-1]
    if (first.start, last.end) != wanted:
        faulty = first if first.start != wanted.start else last
        raise IntervalError(
            f"{event_type}: {wanted} cuts the interval {faulty}",
            f"take it whole: from {first.start:%Y-%m-%dT%H:%MZ} to {last.end:%Y-%m-%dT%H:%MZ}",
        )
    return intervals


def _check_size(event_type: str, intervals: Sequence[Interval], limit: Limit) -> None:
    """Raise IntervalError where several intervals have more events than one run publishes."""
    fitting = max(1, _fitting(intervals, limit))
    if fitting < len(intervals):
        whole = Interval(intervals[0].start, intervals[-1].end)
        raise IntervalError(
            f"{event_type}: {whole} has more events than one run publishes, {limit.events:,}",
            f"take it in parts, the first up to {intervals[fitting - 1].end:%Y-%m-%dT%H:%MZ};"
            f" ./ws rebuild report {event_type} takes everything, in parts of its own",
        )


def choose_snapshot(
    intervals: Sequence[Interval],
    named: Mapping[datetime, int],
    newest: int,
    before: int | None = None,
) -> int:
    """The number of the reference data's snapshot for all of ``intervals``, which are in order.

    ``named`` has the ledger's snapshot of each final interval, by its start: the same inputs give
    the same report. What is not final takes the newest. ``before`` is the snapshot of the run's
    last attempt: what that left unpublished when it ended half-way takes it too. Raises
    IntervalError where the intervals would need different ones.
    """
    # One that published nothing is not held to it: it may have failed for want of a correction.
    rest = before if before is not None and before in named.values() else newest
    each = [(named.get(interval.start, rest), interval) for interval in intervals]
    first = each[0][0]
    if any(number != first for number, _ in each):
        raise IntervalError(
            f"the intervals have different snapshots of the reference data: {_listed(each)}",
            "publish these ranges one by one, or ask for the newest reference data",
        )
    return first


def _listed(each: Iterable[tuple[int, Interval]]) -> str:
    """The first few ranges of one snapshot."""
    ranges = [
        (number, [interval for _, interval in group])
        for number, group in groupby(each, lambda pair: pair[0])
    ]
    texts = [f"{Interval(i[0].start, i[-1].end)} has {number}" for number, i in ranges[:SHOWN]]
    return ", ".join([*texts, *(["…"] if len(ranges) > SHOWN else [])])


def covering(asked: Asked, frontier: Frontier | None, width_s: int) -> Interval | None:
    """The range of which :func:`plan` must know ledger and arrivals, if there is any."""
    ranges = [*([asked.range] if asked.range else []), *_grid(frontier, width_s)]
    if not ranges:
        return None
    return Interval(min(r.start for r in ranges), max(r.end for r in ranges))
