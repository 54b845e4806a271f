"""Which intervals a run finalizes, of what its form or its partition key says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from watershed.batch.intervals import Frontier, Interval
from watershed.errors import SettingsError
from watershed.orchestration.ranges import Choice, Origin, RangeError, asked, choose, cron

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FRONTIER = Frontier(NOON, NOON + 60 * MINUTE, NOON + 72 * MINUTE)


def span(first: int, last: int) -> Interval:
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
        ({}, None, (Origin.NONE, None)),
        ({"start": None, "end": None}, None, (Origin.NONE, None)),
        ({}, "2026-01-31T12:05", (Origin.KEY, span(5, 10))),
        # The form stands before the key, and is widened to whole intervals.
        ({"start": "2026-01-31T12:07:00Z"}, "2026-01-31T12:00", (Origin.FORM, span(5, 10))),
        ({"start": "2026-01-31T12:05:00Z"}, None, (Origin.FORM, span(5, 10))),
        (
            {"start": "2026-01-31T12:05:00Z", "end": "2026-01-31T12:15:00Z"},
            None,
            (Origin.FORM, span(5, 15)),
        ),
        (
            {"start": "2026-01-31T12:09:59Z", "end": "2026-01-31T12:10:01Z"},
            None,
            (Origin.FORM, span(5, 15)),
        ),
        ({"start": "2026-01-31T15:00:00+03:00"}, None, (Origin.FORM, span(0, 5))),
        ({"start": "2026-01-31T12:00"}, None, (Origin.FORM, span(0, 5))),
    ],
)
def test_what_is_asked_for(params: dict[str, Any], key: str | None, expected: Any) -> None:
    assert asked(params, key, 300) == expected


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
        asked(params, key, 300)


def choice(params: dict[str, Any], key: str | None, scheduled: bool) -> Choice:
    return choose(asked(params, key, 300), FRONTIER, scheduled=scheduled)


def test_a_form_is_done_as_it_says() -> None:
    for start in ("2026-01-31T12:10:00Z", "2026-01-31T13:05:00Z"):
        assert choice({"start": start}, None, False) is Choice.RANGE


def test_nothing_asked_for_takes_what_is_not_final() -> None:
    assert choice({}, None, False) is Choice.NOT_FINAL


@pytest.mark.parametrize("scheduled", [True, False])
def test_a_key_that_is_not_final_catches_everything_up(scheduled: bool) -> None:
    assert choice({}, "2026-01-31T13:05", scheduled) is Choice.NOT_FINAL
    assert choose(asked({}, "2026-01-31T13:05", 300), None, scheduled=scheduled) is Choice.NOT_FINAL


def test_a_final_key_is_published_again_by_hand_and_skipped_by_the_schedule() -> None:
    assert choice({}, "2026-01-31T12:55", False) is Choice.RANGE
    assert choice({}, "2026-01-31T12:55", True) is Choice.SKIP


def test_a_key_before_the_first_event_has_nothing_to_publish() -> None:
    assert choice({}, "2026-01-31T11:55", False) is Choice.SKIP
