"""Which intervals a run publishes, and with which snapshot of the reference data."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from watershed.batch.intervals import Frontier, Interval
from watershed.batch.plan import (
    Asked,
    Limit,
    Origin,
    choose_snapshot,
    covering,
    next_interval,
    plan,
)
from watershed.errors import IntervalError

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WIDTH_S = 300


def minutes(first: float, last: float) -> Interval:
    """A range in minutes after noon."""
    return Interval(NOON + first * MINUTE, NOON + last * MINUTE)


def fives(first: int, last: int) -> list[Interval]:
    """The intervals of five minutes in a range."""
    return [minutes(start, start + 5) for start in range(first, last, 5)]


FRONTIER = Frontier(NOON, NOON + 30 * MINUTE, NOON + 72 * MINUTE, NOON - 60 * MINUTE)
"""Half an hour is final; complete are eight intervals more, and two minutes."""

LEDGER = fives(0, 30)
EVEN = {NOON + n * MINUTE: 10 for n in range(72)}
"""Ten events a minute."""


def planned(
    origin: Origin,
    wanted: Interval | None = None,
    frontier: Frontier | None = FRONTIER,
    ledger: list[Interval] = LEDGER,
    width_s: int = WIDTH_S,
    most: int = 1_000_000,
) -> list[Interval]:
    return plan(Asked("transaction", origin, wanted), frontier, ledger, width_s, Limit(most, EVEN))


def test_nothing_asked_for_takes_all_that_is_pending() -> None:
    assert planned(Origin.NOTHING) == fives(30, 70)


def test_before_the_first_interval_there_is_nothing() -> None:
    assert planned(Origin.NOTHING, frontier=None, ledger=[]) == []
    assert planned(Origin.SCHEDULE, minutes(0, 5), frontier=None, ledger=[]) == []
    with pytest.raises(IntervalError, match="is not complete in the raw store: it is up to no mom"):
        planned(Origin.FORM, minutes(0, 5), frontier=None, ledger=[])


def test_when_all_is_final_there_is_nothing() -> None:
    frontier = FRONTIER._replace(final_until=NOON + 70 * MINUTE)
    assert planned(Origin.NOTHING, frontier=frontier) == []
    assert planned(Origin.SCHEDULE, minutes(70, 75), frontier=frontier) == []


@pytest.mark.parametrize("origin", [Origin.KEY, Origin.SCHEDULE])
@pytest.mark.parametrize("start", [30, 65, 90])
def test_a_key_that_is_not_final_catches_everything_up(origin: Origin, start: int) -> None:
    assert planned(origin, minutes(start, start + 5)) == fives(30, 70)


def test_a_final_key_is_published_again_by_hand_and_skipped_by_the_schedule() -> None:
    assert planned(Origin.KEY, minutes(25, 30)) == [minutes(25, 30)]
    assert planned(Origin.SCHEDULE, minutes(25, 30)) == []


def test_a_key_before_the_first_event_has_nothing_to_publish() -> None:
    assert planned(Origin.KEY, minutes(-5, 0)) == []


@pytest.mark.parametrize("origin", [Origin.FORM, Origin.ATTEMPT])
def test_a_range_is_published_as_it_is_asked_for(origin: Origin) -> None:
    for first, last in ((0, 5), (5, 30), (10, 45), (30, 35), (0, 70)):
        assert planned(origin, minutes(first, last)) == fives(first, last)


@pytest.mark.parametrize(
    ("first", "last", "fault", "cure"),
    [
        (0, 75, "is not complete in the raw store: it is up to 2026-01-31 13:12", "wait"),
        (0, 43, "cuts the interval [2026-01-31 12:40, 2026-01-31 12:45)", "12:00Z to 2026-01-31T1"),
        (2, 10, "cuts the interval [2026-01-31 12:00, 2026-01-31 12:05)", "take it whole"),
        (35, 40, "[2026-01-31 12:30, 2026-01-31 12:35) is not final", "range at 2026-01-31T12:30Z"),
        (-5, 5, "begins before 2026-01-31 12:00, where the ledger begins", "there or later"),
        (5, 5, "is empty", "a later end"),
    ],
)  # fmt: skip
def test_ranges_that_cannot_be_published(first: int, last: int, fault: str, cure: str) -> None:
    with pytest.raises(IntervalError, match=re.escape(fault)) as raised:
        planned(Origin.FORM, minutes(first, last))
    assert cure in raised.value.remedy


def test_what_has_expired_is_not_published_again() -> None:
    frontier = FRONTIER._replace(readable_from=NOON + 1 * MINUTE)
    with pytest.raises(IntervalError, match="before 2026-01-31 12:01 have expired"):
        planned(Origin.FORM, minutes(0, 5), frontier)
    assert planned(Origin.FORM, minutes(5, 10), frontier) == [minutes(5, 10)]


def test_another_width_keeps_what_was_final() -> None:
    """The first interval after it ends at the next line of the new grid."""
    frontier = FRONTIER._replace(final_until=NOON + 10 * MINUTE)
    known, wide = fives(0, 10), [minutes(10, 30), minutes(30, 60)]
    assert planned(Origin.NOTHING, None, frontier, known, 1800) == wide
    assert planned(Origin.FORM, minutes(0, 60), frontier, known, 1800) == [*known, *wide]
    assert planned(Origin.FORM, minutes(5, 60), frontier, known, 1800) == [known[1], *wide]


@pytest.mark.parametrize(("most", "last"), [(1, 35), (49, 35), (99, 35), (100, 40), (399, 65)])
def test_a_run_takes_whole_intervals_up_to_so_many_events(most: int, last: int) -> None:
    assert planned(Origin.NOTHING, most=most) == fives(30, last)


def test_a_range_that_is_too_large_names_its_first_part() -> None:
    for most, last in ((50, "12:05"), (120, "12:10"), (299, "12:25")):
        with pytest.raises(IntervalError, match=f"more events than one run publishes, {most}") as e:
            planned(Origin.FORM, minutes(0, 30), most=most)
        assert f"up to 2026-01-31T{last}Z" in e.value.remedy
    assert planned(Origin.FORM, minutes(0, 30), most=300) == LEDGER
    assert planned(Origin.FORM, minutes(0, 5), most=1) == LEDGER[:1]


def test_what_a_run_has_begun_is_never_too_large() -> None:
    assert planned(Origin.ATTEMPT, minutes(0, 30), most=1) == LEDGER


def test_what_must_be_known_of_ledger_and_arrivals() -> None:
    nothing = Asked("transaction", Origin.NOTHING)
    assert covering(nothing, None, WIDTH_S) is None
    assert covering(nothing, FRONTIER, WIDTH_S) == minutes(30, 70)
    assert covering(Asked("", Origin.FORM, minutes(5, 80)), FRONTIER, WIDTH_S) == minutes(5, 80)


def test_the_next_interval() -> None:
    assert next_interval("transaction", FRONTIER, WIDTH_S) == minutes(30, 35)
    done = FRONTIER._replace(final_until=NOON + 70 * MINUTE)
    for frontier in (None, done):
        with pytest.raises(IntervalError, match="no interval of transaction is complete and not"):
            next_interval("transaction", frontier, WIDTH_S)


HOURS = [minutes(60 * n, 60 * (n + 1)) for n in range(6)]
LATEST = 9


def named(*snapshots: int | None) -> dict[datetime, int]:
    """The ledger's snapshots of the first intervals, in order; None where one is not final."""
    each = zip(HOURS, snapshots, strict=False)
    return {interval.start: number for interval, number in each if number is not None}


def test_what_is_published_again_takes_the_snapshot_that_it_has() -> None:
    assert choose_snapshot(HOURS[:2], named(3, 3), LATEST) == 3


def test_what_is_not_final_takes_the_newest() -> None:
    assert choose_snapshot(HOURS[:2], {}, LATEST) == LATEST


def test_a_final_interval_with_the_newest_and_one_that_is_not_go_together() -> None:
    assert choose_snapshot(HOURS[:2], named(LATEST), LATEST) == LATEST


def test_a_run_that_published_half_of_it_goes_on_with_the_same() -> None:
    """Cleared after a refresh: before, what was left would have needed the newest."""
    assert choose_snapshot(HOURS[:3], named(3, 3), LATEST, before=3) == 3


def test_a_run_that_published_nothing_takes_corrected_reference_data() -> None:
    assert choose_snapshot(HOURS[:2], {}, LATEST, before=3) == LATEST


def test_a_cleared_run_leaves_what_another_has_published_since() -> None:
    assert choose_snapshot(HOURS[:2], named(4, 4), LATEST, before=3) == 4
    with pytest.raises(IntervalError, match="different snapshots"):
        choose_snapshot(HOURS[:3], named(3, 4), LATEST, before=3)


@pytest.mark.parametrize("snapshots", [(3, 4), (3, None), (None, 3)])
def test_different_ones_are_refused(snapshots: tuple[int | None, ...]) -> None:
    with pytest.raises(IntervalError, match="different snapshots"):
        choose_snapshot(HOURS[:2], named(*snapshots), LATEST)


def test_the_refusal_names_the_ranges_of_each_one() -> None:
    with pytest.raises(IntervalError) as raised:
        choose_snapshot(HOURS[:4], named(3, 3, 4), LATEST)
    assert f"{Interval(NOON, NOON + 120 * MINUTE)} has 3, " in raised.value.cause
    assert f"{HOURS[2]} has 4, {HOURS[3]} has 9" in raised.value.cause
    assert "newest reference data" in raised.value.remedy


def test_the_refusal_does_not_list_everything() -> None:
    with pytest.raises(IntervalError, match=r"has 4, …"):
        choose_snapshot(HOURS, named(1, 2, 3, 4, 5, 6), LATEST)
