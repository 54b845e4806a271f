"""A run publishes no more than a Spark job does well, whatever has piled up."""

from __future__ import annotations

import random

import pytest

from tests.support.report_ledger import Ledger
from tests.support.report_world import START, WIDTH, World, some_records
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


def test_a_backlog_becomes_final_run_by_run(backlog: World, ledger: Ledger) -> None:
    runs = 0
    while intervals := backlog.plan(events_max=100):
        assert len(intervals) == 3
        whole = Interval(intervals[0].start, intervals[-1].end)
        for interval in backlog.finalize(whole).intervals:
            ledger.publish(interval)
        runs += 1
    assert runs == 4
    ledger.check()


def test_a_range_by_hand_that_is_too_large_is_refused(backlog: World) -> None:
    whole = Interval(START, backlog.clock)
    with pytest.raises(IntervalError, match="has more events than one run publishes, 335"):
        backlog.plan(whole, events_max=335)
    assert len(backlog.plan(whole, events_max=336)) == INTERVALS
