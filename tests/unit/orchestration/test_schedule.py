"""When enrichments run, and what a form or a partition key asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from watershed.batch.intervals import Interval
from watershed.batch.plan import Origin
from watershed.errors import SettingsError
from watershed.orchestration.schedule import RangeError, asked, cron

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def minutes(first: int, last: int) -> Interval:
    """A range in minutes after noon."""
    return Interval(NOON + first * MINUTE, NOON + last * MINUTE)


@pytest.mark.parametrize(
    ("interval_s", "expected"),
    [
        (60, "*/1 * * * *"),
        (300, "*/5 * * * *"),
        (1800, "*/30 * * * *"),
        (3600, "0 * * * *"),
        (21_600, "0 */6 * * *"),
        (86_400, "0 0 * * *"),
    ],
)
def test_a_schedule_for_intervals_of_whole_minutes_or_hours(interval_s: int, expected: str) -> None:
    assert cron(interval_s) == expected


@pytest.mark.parametrize("interval_s", [30, 90, 420, 2400, 5400, 18_000, 172_800])
def test_no_schedule_ends_other_intervals(interval_s: int) -> None:
    with pytest.raises(SettingsError, match=f"BATCH_INTERVAL_S={interval_s}"):
        cron(interval_s)


@pytest.mark.parametrize(
    ("params", "key", "expected"),
    [
        ({}, None, (Origin.NOTHING, None)),
        ({"start": None, "end": None}, None, (Origin.NOTHING, None)),
        ({}, "2026-01-31T12:05", (Origin.KEY, minutes(5, 10))),
        # The form stands before the key, and is widened to whole intervals.
        ({"start": "2026-01-31T12:07:00Z"}, "2026-01-31T12:00", (Origin.FORM, minutes(5, 10))),
        ({"start": "2026-01-31T12:05:00Z"}, None, (Origin.FORM, minutes(5, 10))),
        (
            {"start": "2026-01-31T12:05:00Z", "end": "2026-01-31T12:15:00Z"},
            None,
            (Origin.FORM, minutes(5, 15)),
        ),
        (
            {"start": "2026-01-31T12:09:59Z", "end": "2026-01-31T12:10:01Z"},
            None,
            (Origin.FORM, minutes(5, 15)),
        ),
        ({"start": "2026-01-31T15:00:00+03:00"}, None, (Origin.FORM, minutes(0, 5))),
        ({"start": "2026-01-31T12:00"}, None, (Origin.FORM, minutes(0, 5))),
    ],
)
def test_what_is_asked_for(params: dict[str, Any], key: str | None, expected: Any) -> None:
    assert asked("transaction", params, key, 300) == ("transaction", *expected)


@pytest.mark.parametrize(
    ("params", "key", "message"),
    [
        ({"end": "2026-01-31T12:00:00Z"}, None, "no start"),
        ({"start": "yesterday"}, None, "'yesterday' is no time"),
        ({"start": "2026-01-31T12:00:00Z", "end": "2026-01-31T11:00:00Z"}, None, "before it"),
        ({}, "31.1.2026", "partition key '31.1.2026'"),
    ],
)
def test_what_is_no_range(params: dict[str, Any], key: str | None, message: str) -> None:
    with pytest.raises(RangeError, match=message):
        asked("transaction", params, key, 300)
