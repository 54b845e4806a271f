"""Which snapshot of the reference data intervals are published with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from watershed.batch.intervals import Interval
from watershed.errors import IntervalError
from watershed.orchestration.inputs import AS_PUBLISHED, NEWEST, choose_snapshot

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PARTS = [Interval(NOON + n * HOUR, NOON + (n + 1) * HOUR) for n in range(6)]
LATEST = 9


def named(*snapshots: int | None) -> dict[datetime, int]:
    """The ledger's snapshots of the first intervals, in order; None where one is not final."""
    each = zip(PARTS, snapshots, strict=False)
    return {one.start: number for one, number in each if number is not None}


def test_what_is_published_again_takes_the_snapshot_that_it_has() -> None:
    assert choose_snapshot(AS_PUBLISHED, PARTS[:2], named(3, 3), LATEST) == 3


def test_what_is_not_final_takes_the_newest() -> None:
    assert choose_snapshot(AS_PUBLISHED, PARTS[:2], {}, LATEST) == LATEST


def test_the_newest_is_taken_when_asked_for() -> None:
    assert choose_snapshot(NEWEST, PARTS[:3], named(3, 4), LATEST) == LATEST


def test_a_final_interval_with_the_newest_and_one_that_is_not_go_together() -> None:
    assert choose_snapshot(AS_PUBLISHED, PARTS[:2], named(LATEST), LATEST) == LATEST


def test_a_run_that_published_half_of_it_goes_on_with_the_same() -> None:
    """Cleared after a refresh: before, what was left would have needed the newest."""
    assert choose_snapshot(AS_PUBLISHED, PARTS[:3], named(3, 3), LATEST, before=3) == 3
    assert choose_snapshot(NEWEST, PARTS[:3], named(3, 3), LATEST, before=3) == LATEST


def test_a_run_that_published_nothing_takes_corrected_reference_data() -> None:
    assert choose_snapshot(AS_PUBLISHED, PARTS[:2], {}, LATEST, before=3) == LATEST


def test_a_cleared_run_leaves_what_another_has_published_since() -> None:
    assert choose_snapshot(AS_PUBLISHED, PARTS[:2], named(4, 4), LATEST, before=3) == 4
    with pytest.raises(IntervalError, match="different snapshots"):
        choose_snapshot(AS_PUBLISHED, PARTS[:3], named(3, 4), LATEST, before=3)


@pytest.mark.parametrize("snapshots", [(3, 4), (3, None), (None, 3)])
def test_different_ones_are_refused(snapshots: tuple[int | None, ...]) -> None:
    with pytest.raises(IntervalError, match="different snapshots"):
        choose_snapshot(AS_PUBLISHED, PARTS[:2], named(*snapshots), LATEST)


def test_the_refusal_names_the_ranges_of_each_one() -> None:
    with pytest.raises(IntervalError) as raised:
        choose_snapshot(AS_PUBLISHED, PARTS[:4], named(3, 3, 4), LATEST)
    assert f"{Interval(NOON, NOON + 2 * HOUR)} has 3, " in raised.value.cause
    assert f"{PARTS[2]} has 4, {PARTS[3]} has 9" in raised.value.cause
    assert "newest reference data" in raised.value.remedy


def test_the_refusal_does_not_list_everything() -> None:
    with pytest.raises(IntervalError, match=r"has 4, …"):
        choose_snapshot(AS_PUBLISHED, PARTS, named(1, 2, 3, 4, 5, 6), LATEST)
