"""The batch layer is switched on late: of what has expired, the flow alone has the sums."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.report_ledger import Ledger
from tests.support.report_world import WIDTH, WIDTH_S, World, some_records
from watershed.batch import expiry, report
from watershed.batch.intervals import Interval
from watershed.batch.ledger import read
from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.speed import retention
from watershed.stores import postgres
from watershed.timestamps import floored

HOUR = timedelta(hours=1)
TTL = timedelta(days=1)


@pytest.fixture
def short_lived(contract: Contract) -> Contract:
    retention = contract.retention.model_copy(update={"ttl_days": TTL.days})
    return contract.model_copy(update={"retention": retention})


@pytest.mark.parametrize("pruned", [True, False])
def test_what_has_expired_before_the_first_run_stays_in_the_position(
    database: Settings, short_lived: Contract, dice: random.Random, pruned: bool
) -> None:
    now = datetime.now(UTC)
    start = floored(now - TTL - 26 * HOUR, WIDTH_S)
    with postgres.connect(database) as connection:
        world = World(connection, short_lived, start)
        world.start()
        _arrive(world, dice, now - 18 * HOUR)
        if pruned:
            retention.prune(connection, short_lived, now)
        ledger = Ledger(world)
        assert ledger.position_found() == ledger.position()

        first = world.pending()
        assert first is not None
        readable = now - TTL + expiry.EXPIRY_MARGIN
        assert readable + 2 * HOUR < first.start < readable + 4 * HOUR
        skipped = world.read(read, "transaction", Interval(start, first.start))
        arrived = min(record.arrival for record in world.records)
        assert skipped[0].start == floored(arrived, WIDTH_S)
        assert skipped[-1].end == first.start
        assert len({one.start.date() for one in skipped}) == len(skipped)
        for one in skipped:
            ledger.skip(one)
        assert ledger.position_found() == ledger.position()

        for interval in world.finalize(first).intervals:
            ledger.publish(interval)
        ledger.check()
        retention.prune(connection, short_lived, now)
        ledger.check()
        at = first.start + 1.5 * HOUR
        assert ledger.position_at_found(at) == ledger.position_at(at)
        until = floored(start + HOUR, WIDTH_S)
        assert ledger.position_at_found(until) == ledger.position_at(until)
        report.prune(connection, short_lived, now + 90 * TTL)
        retention.prune(connection, short_lived, now)
        assert ledger.position_found() == ledger.position()


def _arrive(world: World, dice: random.Random, until: datetime) -> None:
    while world.clock < until:
        end = world.clock + 6 * WIDTH
        world.arrive(some_records(dice, world.records, world.clock, end, 5))
        world.pass_time(end)
