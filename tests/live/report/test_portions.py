"""A run finalizes no more than a Spark job does well, whatever has piled up."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.live.report.conftest import START
from tests.live.report.ledger import Ledger
from tests.live.report.world import WIDTH, WIDTH_S, World, some_records
from watershed.batch import intervals, run_size
from watershed.batch.intervals import Interval
from watershed.errors import IntervalError

INTERVALS, PER_BATCH, BATCHES = 12, 7, 4


@pytest.fixture
def backlog(world: World, dice: random.Random) -> World:
    """Intervals of 28 events each, committed in batches of 7."""
    for _ in range(INTERVALS * BATCHES):
        end = world.clock + WIDTH / BATCHES
        world.arrive(some_records(dice, world.records, world.clock, end, PER_BATCH))
        world.pass_time(end)
    return world


def _portion(world: World, most: int, width_s: int = WIDTH_S) -> Interval | None:
    whole = intervals.pending(world.connection, world.contract, width_s)
    if whole is None:
        return None
    return run_size.portion(world.connection, world.contract, whole, width_s, most)


@pytest.mark.parametrize(
    ("most", "expected"), [(1, 1), (27, 1), (28, 1), (55, 1), (56, 2), (100, 3), (336, 12)]
)
def test_a_run_takes_whole_intervals_up_to_so_many_events(
    backlog: World, most: int, expected: int
) -> None:
    found = _portion(backlog, most)
    assert found == Interval(START, START + expected * WIDTH)
    assert len(backlog.within(found)) <= max(most, PER_BATCH * BATCHES)


def test_a_backlog_becomes_final_run_by_run(backlog: World, ledger: Ledger) -> None:
    runs = 0
    while wanted := _portion(backlog, 100):
        for one in backlog.finalize(wanted).intervals:
            ledger.publish(one)
        runs += 1
    assert runs == 4
    ledger.check()


def test_another_width_begins_at_its_next_line(backlog: World) -> None:
    backlog.finalize(Interval(START, START + WIDTH))
    for most, minutes in {1: 30, 140: 30, 300: 30, 308: 60}.items():
        found = _portion(backlog, most, width_s=1800)
        assert found == Interval(START + WIDTH, START + timedelta(minutes=minutes))


def test_a_range_by_hand_that_is_too_large_names_its_first_part(backlog: World) -> None:
    parts = backlog.begin().intervals
    for most, minutes in {1: 5, 100: 15, 335: 55}.items():
        until = f"up to {START + timedelta(minutes=minutes):%Y-%m-%dT%H:%MZ}"
        with pytest.raises(IntervalError, match=f"has more events.*{most}(?s:.*){until}"):
            run_size.refuse_large(backlog.connection, backlog.contract, parts, most)
        run_size.refuse_large(backlog.connection, backlog.contract, parts[: minutes // 5], most)
    run_size.refuse_large(backlog.connection, backlog.contract, parts, 336)
