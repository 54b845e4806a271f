"""Any history of runs leaves what it must: final, run again, skipped, failed, in any order."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.support.report_ledger import Ledger
from tests.support.report_world import START, WIDTH, World, some_records
from watershed.batch import publish, quality_checks, staging_table
from watershed.batch.intervals import Interval
from watershed.errors import AttemptError

STEPS = 50


@pytest.mark.parametrize("history", range(3))
def test_any_history_of_runs(
    history: int, world: World, ledger: Ledger, dice: random.Random
) -> None:
    _arrive(world, ledger, dice)
    for _ in range(STEPS):
        dice.choice(STORY)(world, ledger, dice)
        ledger.check()
        _check_past(world, ledger, dice)


def _arrive(world: World, ledger: Ledger, dice: random.Random) -> None:
    """Up to twenty minutes of records, some windows of them empty."""
    end = world.clock + timedelta(seconds=dice.randrange(1, 1200))
    if count := dice.choice([0, 1, 40, 80]):
        world.arrive(some_records(dice, world.records, world.clock, end, count))
    world.pass_time(end)


def _finalize(world: World, ledger: Ledger, dice: random.Random) -> None:
    """Everything not final, or the first intervals of it."""
    whole = world.pending()
    if whole is None:
        return
    some = dice.randrange(1, (whole.end - whole.start) // WIDTH + 1)
    wanted = Interval(whole.start, whole.start + some * WIDTH)
    for interval in world.finalize(dice.choice([whole, wanted])).intervals:
        ledger.publish(interval)


def _again(world: World, ledger: Ledger, dice: random.Random) -> None:
    """A range of what is final or skipped, in any order."""
    known = sorted([*ledger.facts, *ledger.skipped])
    if known:
        first = dice.randrange(len(known))
        last = min(first + dice.randrange(4), len(known) - 1)
        for interval in world.finalize(Interval(known[first].start, known[last].end)).intervals:
            ledger.publish(interval)


def _skip(world: World, ledger: Ledger, dice: random.Random) -> None:
    whole = world.pending()
    if whole is not None and dice.random() < 0.7:
        one = Interval(whole.start, whole.start + WIDTH)
        world.skip(one)
        ledger.skip(one)


def _fail(world: World, ledger: Ledger, dice: random.Random) -> None:
    """An attempt whose job lost a row, one that ends after loading, one that is overtaken."""
    whole = world.pending()
    if whole is None:
        return
    attempt = world.begin(whole)
    world.load(attempt, dropped=dice.choice([0, 1]))
    quality_checks.check_staging(world.connection, world.contract, attempt)
    newer = world.begin(Interval(whole.start, whole.start + WIDTH))
    staging_table.make(world.connection, newer)
    with pytest.raises(AttemptError):
        publish.publish(world.connection, world.contract, attempt)


STORY = [_arrive, _arrive, _finalize, _finalize, _again, _again, _skip, _skip, _fail]


def _check_past(world: World, ledger: Ledger, dice: random.Random) -> None:
    """The position at moments before, in and after what is final."""
    length = int((world.clock - START).total_seconds() * 1000) + 10_000
    for _ in range(3):
        t = START - timedelta(seconds=5) + timedelta(milliseconds=dice.randrange(length))
        assert ledger.position_at_found(t) == ledger.position_at(t), t
