"""Intervals of arrival time: what they are, and how a range is cut into them. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from watershed.contracts.model import Contract
from watershed.errors import SettingsError
from watershed.timestamps import floored

HOUR_S, DAY_S = 3_600, 86_400


class Interval(NamedTuple):
    """Arrival times from ``start`` up to, but not including, ``end``; in UTC."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"[{self.start:%Y-%m-%d %H:%M}, {self.end:%Y-%m-%d %H:%M})"


class Frontier(NamedTuple):
    """The ledger covers ``[final_from, final_until)``; the raw store is complete before
    ``watermark``; what arrived before ``readable_from`` cannot be read again, whole."""

    final_from: datetime
    final_until: datetime
    watermark: datetime
    readable_from: datetime


def cut(whole: Interval, width_s: int) -> list[Interval]:
    """A range cut at the multiples of a width; the last one ends on one, be it after the range."""
    intervals = []
    start = whole.start
    while start < whole.end:
        end = floored(start, width_s) + timedelta(seconds=width_s)
        intervals.append(Interval(start, end))
        start = end
    return intervals


def check_width(contract: Contract, width_s: int) -> None:
    """Raise SettingsError unless intervals divide a day, in minutes, into whole flow windows, and
    are no longer than the lookback: within an interval an id counts once whatever its age, so what
    is a duplicate would depend on the width."""
    if width_s % 60 or DAY_S % width_s or width_s % contract.flow.window_s:
        raise SettingsError(
            f"WATERSHED_BATCH_INTERVAL_S={width_s} does not fit {contract.type}",
            "it must be a divisor of a day, in whole minutes, and a multiple of flow.window_s,"
            f" {contract.flow.window_s}",
        )
    if width_s > contract.lookback_hours * HOUR_S:
        raise SettingsError(
            f"WATERSHED_BATCH_INTERVAL_S={width_s} is longer than {contract.type} looks back for"
            f" repeated events: lookback_hours is {contract.lookback_hours}",
            f"make it {contract.lookback_hours * HOUR_S} at most, or raise the contract's"
            " lookback_hours, and its version",
        )
