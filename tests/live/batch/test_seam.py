"""No seam: whoever looks at the open position sees one state of the two layers, never two."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from tests.support.report_ledger import Ledger
from tests.support.report_world import START, WIDTH, World, some_records
from watershed.batch import publish, quality_checks, staging_table
from watershed.batch.intervals import Interval
from watershed.errors import AttemptError
from watershed.settings import Settings
from watershed.stores import postgres

Rows = frozenset[tuple[Any, ...]]
ROUNDS = 25


class Position(NamedTuple):
    """What may be read of the open position in one state: in whole, and by branch."""

    whole: Rows
    by_branch: Rows


QUERIES = (
    "SELECT currency, position, transactions FROM report.open_position",
    "SELECT branch, currency, position, final, live, event_count"
    " FROM report.transaction_position_by_group",
)
"""Of the fields of Position, in their order."""


class Sampler(threading.Thread):
    """Reads the open position without pause; ``seen`` has what differed from the one before."""

    def __init__(self, settings: Settings, query: str) -> None:
        super().__init__()
        self._settings = settings
        self._query = query
        self.seen: list[Rows] = []
        self.samples = 0
        self.halt = threading.Event()

    def run(self) -> None:
        with postgres.connect(self._settings) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            while not self.halt.is_set():
                cursor.execute(self._query)
                found = frozenset(cursor.fetchall())
                self.samples += 1
                if not self.seen or self.seen[-1] != found:
                    self.seen.append(found)


def _now(ledger: Ledger) -> Position:
    return Position(
        frozenset((currency, *sums) for currency, sums in ledger.position().items()),
        frozenset((*groups, *sums) for groups, sums in ledger.by_branch().items()),
    )


def test_every_sample_is_the_position_of_some_commit(
    database: Settings, world: World, ledger: Ledger, dice: random.Random
) -> None:
    expected = [_now(ledger)]
    samplers = [Sampler(database, query) for query in QUERIES]
    for sampler in samplers:
        sampler.start()
    try:
        for _ in range(ROUNDS):
            _arrive(world, dice)
            expected.append(_now(ledger))
            dice.choice([_publish, _publish, _again, _skip, _fail])(world, ledger, dice, expected)
    finally:
        for sampler in samplers:
            sampler.halt.set()
            sampler.join()
    ledger.check()
    for sampler, states in zip(samplers, zip(*expected, strict=True), strict=True):
        _check_order(sampler.seen, states)
        assert len(sampler.seen) > ROUNDS
        assert sampler.samples > 4 * ROUNDS


def _check_order(seen: list[Rows], expected: Sequence[Rows]) -> None:
    """Each sample is a state that follows, or is, the state of the sample before."""
    at = 0
    for sample in seen:
        assert sample in expected[at:], f"no commit after the {at}th has {sorted(sample)}"
        at = expected.index(sample, at)
    assert seen[-1] == expected[-1]


def _arrive(world: World, dice: random.Random) -> None:
    end = world.clock + timedelta(seconds=dice.randrange(200, 1000))
    world.arrive(some_records(dice, world.records, world.clock, end, 30))
    world.pass_time(end)


def _run(world: World, ledger: Ledger, wanted: Interval, expected: list[Position]) -> None:
    """A run; publishing each of its intervals is a commit."""
    for interval in world.finalize(wanted).intervals:
        ledger.publish(interval)
        expected.append(_now(ledger))


def _publish(world: World, ledger: Ledger, _: random.Random, expected: list[Position]) -> None:
    wanted = world.pending()
    if wanted:
        _run(world, ledger, wanted, expected)


def _again(world: World, ledger: Ledger, dice: random.Random, expected: list[Position]) -> None:
    known = sorted([*ledger.facts, *ledger.skipped])
    if known:
        first = dice.randrange(len(known))
        last = min(first + dice.randrange(6), len(known) - 1)
        _run(world, ledger, Interval(known[first].start, known[last].end), expected)


def _skip(world: World, ledger: Ledger, _: random.Random, expected: list[Position]) -> None:
    wanted = world.pending()
    if wanted:
        one = Interval(wanted.start, wanted.start + WIDTH)
        world.skip(one)
        ledger.skip(one)
        expected.append(_now(ledger))


def _fail(world: World, ledger: Ledger, dice: random.Random, expected: list[Position]) -> None:
    """A job that lost rows; a publisher that fails in its second interval."""
    wanted = world.pending()
    if wanted is None:
        return
    attempt = world.begin(wanted)
    world.load(attempt, dropped=dice.randrange(2))
    found = quality_checks.check_staging(world.connection, world.contract, attempt)
    if all(one.ok for one in found):
        ledger.publish(attempt.intervals[0])
        expected.append(_now(ledger))
    world.query(f"DELETE FROM staging.{staging_table.name(attempt)}"
                " WHERE interval_start > %s", attempt.start)  # fmt: skip
    if len(world.within(wanted)) > len(world.within(attempt.intervals[0])):
        with pytest.raises(AttemptError):
            publish.publish(world.connection, world.contract, attempt)
    elif all(one.ok for one in found):
        publish.publish(world.connection, world.contract, attempt)
        for interval in attempt.intervals[1:]:
            ledger.publish(interval)
            expected.append(_now(ledger))


def test_a_past_position_stays_what_it_was(
    world: World, ledger: Ledger, dice: random.Random
) -> None:
    """Once final, whatever arrives, finalizes or runs again."""
    moments = [START + timedelta(seconds=s) for s in (0, 1, 299, 300, 301, 1234, 3600)]
    final: dict[object, object] = {}
    for _ in range(12):
        _arrive(world, dice)
        dice.choice([_publish, _publish, _again])(world, ledger, dice, [])
        for t in moments:
            rows = world.query("SELECT * FROM report.open_position_at(%s)", t)
            is_final = ledger.until is not None and t <= ledger.until
            assert all(row[-1] is is_final for row in rows)
            assert ledger.position_at_found(t) == ledger.position_at(t)
            if is_final:
                assert sorted(rows) == final.setdefault(t, sorted(rows))
    assert len(final) > 4
