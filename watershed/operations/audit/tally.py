"""Tallies of rows: offsets that are missing or doubled, sums by window and group. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, NamedTuple
from uuid import UUID

from watershed.speed.flow import EXACT_DIGITS
from watershed.timestamps import EPOCH

NAIVE_EPOCH = EPOCH.replace(tzinfo=None)
"""As Cassandra's driver gives times."""

ALWAYS = datetime.min.replace(tzinfo=UTC)
EXACT = Context(prec=EXACT_DIGITS)


class Total(NamedTuple):
    """The sum of a measure, and of how many rows."""

    value: Decimal
    events: int


Key = tuple[Any, ...]
Totals = dict[Key, Total]
NOTHING = Total(Decimal(0), 0)


def faulty_ranges(expected: range, present: Iterable[int]) -> tuple[list[range], list[range]]:
    """The ranges of ``expected`` that are not in ``present``, and those that are in it twice.

    ``present`` is sorted and within ``expected``; it is read once, one offset at a time.
    """
    gaps: list[range] = []
    overlaps: list[range] = []
    following = expected.start
    for offset in present:
        if offset == following:
            following += 1
        elif offset > following:
            gaps.append(range(following, offset))
            following = offset + 1
        else:
            extend(overlaps, [range(offset, offset + 1)])
    if following < expected.stop:
        gaps.append(range(following, expected.stop))
    return gaps, overlaps


def extend(ranges: list[range], more: Iterable[range]) -> None:
    """Add later ranges; one that begins where the last one ends makes that longer."""
    for one in more:
        if ranges and ranges[-1].stop == one.start:
            ranges[-1] = range(ranges[-1].start, one.stop)
        else:
            ranges.append(one)


def without(ranges: Iterable[range], taken: Iterable[range]) -> list[range]:
    """What of ``ranges`` is in none of ``taken``, which are disjoint."""
    left = list(ranges)
    for gone in taken:
        left = [
            part
            for one in left
            for part in (
                range(one.start, min(one.stop, gone.start)),
                range(max(one.start, gone.stop), one.stop),
            )
            if part
        ]
    return left


@dataclass
class PartitionTally:
    """What Cassandra has of one Kafka partition: faulty offsets, and rows in either table."""

    gaps: list[range] = field(default_factory=list)
    overlaps: list[range] = field(default_factory=list)
    stored: int = 0
    quarantined: int = 0

    def merge(self, later: PartitionTally) -> None:
        """Add what was found from where this ends on."""
        extend(self.gaps, later.gaps)
        extend(self.overlaps, later.overlaps)
        self.stored += later.stored
        self.quarantined += later.quarantined


class Tally:
    """Counts and sums raw rows as they pass by.

    A row is ``(offset, arrival time in UTC without a zone, measure, *groups)``; ``totals`` has a
    sum for ``(window start, *groups)``. A null, which no writer leaves, counts as zero.
    """

    def __init__(self, window_s: int) -> None:
        self.count = 0
        self._window = timedelta(seconds=window_s)
        self._sums: dict[Key, list[Any]] = {}

    def passing(self, rows: Iterable[Any]) -> Iterator[int]:
        """The rows' offsets."""
        for offset, arrival, measure, *groups in rows:
            key = ((arrival or NAIVE_EPOCH) - NAIVE_EPOCH) // self._window, *groups
            total = self._sums.get(key)
            if total is None:
                total = self._sums[key] = [Decimal(0), 0]
            total[0] = EXACT.add(total[0], measure or 0)
            total[1] += 1
            self.count += 1
            yield offset

    @property
    def totals(self) -> Totals:
        return {
            (EPOCH + index * self._window, *plain(groups)): Total(value, count)
            for (index, *groups), (value, count) in self._sums.items()
        }


def first_window(since: datetime, window_s: int) -> datetime:
    """The start of the first flow window that is whole: at ``since`` or after it."""
    width = timedelta(seconds=window_s)
    return EPOCH - (EPOCH - since) // width * width


def plain(values: Iterable[Any]) -> Key:
    """Values as both databases' drivers give them: an id is text, a time has its zone."""
    return tuple(map(_plain, values))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return str(value) if isinstance(value, UUID) else value


def add(totals: Totals, more: Iterable[tuple[Key, Total]]) -> Totals:
    """Add ``more`` to ``totals``, exactly; keys may repeat."""
    for key, (value, count) in more:
        have = totals.get(key, NOTHING)
        totals[key] = Total(EXACT.add(have.value, value), have.events + count)
    return totals


def differing(stored: Mapping[Key, Total], rows: Mapping[Key, Total]) -> list[str]:
    """A line for every key whose stored total is not that of the rows, in the keys' order."""
    keys = [key for key, total in stored.items() if total != rows.get(key)]
    keys += [key for key in rows if key not in stored]
    return [
        f"{' '.join(map(_text, key))}: {_sum(stored.get(key))}, the raw rows say"
        f" {_sum(rows.get(key))}"
        for key in sorted(keys, key=str)
    ]


def _text(value: Any) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else str(value)


def _sum(total: Total | None) -> str:
    return f"{total.value} in {total.events:,}" if total else "nothing"
