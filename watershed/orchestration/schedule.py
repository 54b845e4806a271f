"""When an enrichment runs, and what its run is asked for: a form's range, a partition key. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from watershed.batch.intervals import DAY_S, HOUR_S, Interval
from watershed.batch.plan import Asked, Origin
from watershed.errors import SettingsError, WatershedError
from watershed.timestamps import floored

KEY_FORMAT = "%Y-%m-%dT%H:%M"
"""Of a partition key: the interval's start in UTC."""


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


def asked(event_type: str, params: Mapping[str, Any], key: str | None, interval_s: int) -> Asked:
    """What a form's ``start`` and ``end``, or a partition key, ask for.

    The form's range is widened to whole intervals; without ``end`` it is the interval that has
    ``start``. Raises RangeError.
    """
    start, end = (_moment(params, name) for name in ("start", "end"))
    if start is None and end is not None:
        raise RangeError("the range has an end and no start", "name the start too, or neither")
    if start is not None:
        return Asked(event_type, Origin.FORM, _widened(start, end, interval_s))
    if key:
        begin = _of_key(key)
        return Asked(event_type, Origin.KEY, Interval(begin, begin + timedelta(seconds=interval_s)))
    return Asked(event_type, Origin.NOTHING)


def _widened(start: datetime, end: datetime | None, interval_s: int) -> Interval:
    begin, step = floored(start, interval_s), timedelta(seconds=interval_s)
    if end is None:
        return Interval(begin, begin + step)
    if end <= start:
        raise RangeError(
            f"the range ends at {end:%Y-%m-%d %H:%M:%S}, before it starts", "swap them"
        )
    last = floored(end, interval_s)
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
