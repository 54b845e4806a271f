"""Which intervals a run publishes: its form's range, else its partition key, else what is pending.

Pure: nothing here knows Airflow or a store.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple

from watershed.batch.intervals import Frontier, Interval, floor
from watershed.errors import SettingsError, WatershedError

KEY_FORMAT = "%Y-%m-%dT%H:%M"
"""Of a partition key: the interval's start in UTC."""

HOUR_S, DAY_S = 3_600, 86_400


class Origin(Enum):
    """Where a run's range comes from."""

    FORM = "the form's range"
    KEY = "the partition key"
    NONE = "nothing asked for"


class Asked(NamedTuple):
    """What a run was asked for; ``range`` is None where that is everything pending."""

    origin: Origin
    range: Interval | None = None


class Choice(Enum):
    """What a run does."""

    RANGE = "finalizes the intervals of its range, again where they are final"
    NOT_FINAL = "finalizes everything that is not final yet up to the watermark"
    SKIP = "finalizes nothing: others have done it"


class RangeError(WatershedError):
    """A form's range is none."""


def cron(interval_s: int) -> str:
    """When a day's intervals end, as cron has it. Raises SettingsError where it cannot say so."""
    minutes, rest = divmod(interval_s, 60)
    if not rest and minutes and HOUR_S % interval_s == 0:
        return f"*/{minutes} * * * *" if minutes < 60 else "0 * * * *"
    if interval_s % HOUR_S == 0 and DAY_S % interval_s == 0:
        hours = interval_s // HOUR_S
        return f"0 */{hours} * * *" if hours < 24 else "0 0 * * *"
    raise SettingsError(
        f"WATERSHED_BATCH_INTERVAL_S={interval_s}: no schedule ends such intervals",
        "choose minutes that divide an hour, or hours that divide a day: 300, 3600, 21600",
    )


def asked(params: Mapping[str, Any], key: str | None, interval_s: int) -> Asked:
    """What a form's ``start`` and ``end``, or a partition key, ask for.

    The form's range is widened to whole intervals; without ``end`` it is the interval that has
    ``start``. Raises RangeError.
    """
    start, end = (_moment(params, name) for name in ("start", "end"))
    if start is None and end is not None:
        raise RangeError("the range has an end and no start", "name the start too, or neither")
    if start is not None:
        return Asked(Origin.FORM, _widened(start, end, interval_s))
    if key:
        begin = _of_key(key)
        return Asked(Origin.KEY, Interval(begin, begin + timedelta(seconds=interval_s)))
    return Asked(Origin.NONE)


def choose(wanted: Asked, frontier: Frontier | None, *, scheduled: bool) -> Choice:
    """What a run does; without a frontier nothing has arrived that could be made final.

    A partition key that nobody has made final yet stands for all that is pending: one run
    catches up a night's outage. A key before the first event has nothing to finalize.
    """
    if wanted.range is None:
        return Choice.NOT_FINAL
    if wanted.origin is Origin.FORM:
        return Choice.RANGE
    if frontier is None or wanted.range.end > frontier.final_until:
        return Choice.NOT_FINAL
    if scheduled or wanted.range.end <= frontier.final_from:
        return Choice.SKIP
    return Choice.RANGE


def _widened(start: datetime, end: datetime | None, interval_s: int) -> Interval:
    begin, step = floor(start, interval_s), timedelta(seconds=interval_s)
    if end is None:
        return Interval(begin, begin + step)
    if end <= start:
        raise RangeError(
            f"the range ends at {end:%Y-%m-%d %H:%M:%S}, before it starts", "swap them"
        )
    last = floor(end, interval_s)
    return Interval(begin, last if last == end else last + step)


def _moment(params: Mapping[str, Any], name: str) -> datetime | None:
    text = params.get(name)
    if not text:
        return None
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        raise RangeError(f"{name} {text!r} is no time", "write 2026-01-31T12:00:00Z") from None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _of_key(key: str) -> datetime:
    try:
        return datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise RangeError(
            f"partition key {key!r} is no interval's start", "write it as 2026-01-31T12:00, in UTC"
        ) from None
