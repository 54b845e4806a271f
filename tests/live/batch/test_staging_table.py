"""What old attempts leave in schema staging goes, but for what somebody still needs."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.report_world import WIDTH, World, some_records
from watershed.batch import staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.settings import Settings
from watershed.stores import postgres

DAY = timedelta(days=1)
NOW = datetime.now(UTC)
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'staging' ORDER BY 1"


@pytest.fixture
def loaded(world: World, dice: random.Random) -> list[Attempt]:
    """Three attempts that do not overlap, begun three days ago: the last was loaded just now."""
    world.arrive(some_records(dice, [], world.clock, world.clock + 3 * WIDTH, 30))
    start, end = world.clock, world.clock + 3 * WIDTH
    world.pass_time(end)
    world.finalize(Interval(start, end))
    found = [world.begin(Interval(start + n * WIDTH, start + (n + 1) * WIDTH)) for n in range(3)]
    for one in found:
        world.load(one)
    world.query("UPDATE control.attempt SET begun_at = %s", NOW - 3 * DAY)
    world.query("UPDATE control.attempt SET loaded_at = %s WHERE attempt < %s",
                NOW - 3 * DAY, found[-1].attempt)  # fmt: skip
    return found


def test_what_was_not_loaded_lately_goes(world: World, loaded: list[Attempt]) -> None:
    world.query("CREATE TABLE staging.transaction_99 ()")  # of no attempt
    assert staging_table.drop_old(world.connection, NOW - 4 * DAY) == 1
    assert staging_table.drop_old(world.connection, NOW - 2 * DAY) == 2
    assert world.query(TABLES) == [(staging_table.name(loaded[-1]),)]


def test_what_is_in_use_stays(database: Settings, world: World, loaded: list[Attempt]) -> None:
    with postgres.connect(database) as other, other:
        other.cursor().execute(f"SELECT FROM staging.{staging_table.name(loaded[0])}")
        assert staging_table.drop_old(world.connection, NOW - 2 * DAY) == 1
    assert staging_table.drop_old(world.connection, NOW - 2 * DAY) == 1
