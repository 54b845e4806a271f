"""The audit of the report: whatever is changed behind the ledger's back is found, and named."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.support.report_world import START, WIDTH, World, some_records
from watershed.batch.intervals import Interval
from watershed.operations.audit import report
from watershed.operations.audit.tally import ALWAYS

DAY = timedelta(days=1)
LAST = f"(SELECT max(interval_start) FROM report.{{}} WHERE interval_start < '{START + 5 * WIDTH}')"


@pytest.fixture
def published(world: World, dice: random.Random) -> World:
    """Eight intervals, the second of them skipped; then more that is not final."""
    end = START + 8 * WIDTH
    world.arrive(some_records(dice, world.records, world.clock, end, 200))
    world.pass_time(end)
    skipped = Interval(START + WIDTH, START + 2 * WIDTH)
    world.finalize(Interval(START, skipped.start))
    world.skip(skipped)
    world.finalize()
    world.arrive(some_records(dice, world.records, world.clock, end + WIDTH, 20))
    return world


def check(world: World, since: timedelta | None = None) -> report.ReportTally:
    begin = ALWAYS if since is None else START + since
    return world.read(report.check, world.contract, begin)


def test_what_was_published_adds_up(published: World) -> None:
    [(facts,)] = published.query("SELECT count(*) FROM report.transaction")
    assert check(published) == report.ReportTally(7, facts, [])
    assert check(published, DAY) == report.ReportTally(0, 0, [])
    published.finalize(Interval(START, START + 3 * WIDTH))  # the skipped one, and final ones again
    assert check(published).faults == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            "DELETE FROM report.transaction WHERE transaction_id ="
            " (SELECT min(transaction_id::text)::uuid FROM report.transaction)",
            "facts, published were",
        ),
        (
            "UPDATE report.transaction SET region = 'elsewhere' WHERE transaction_id ="
            " (SELECT min(transaction_id::text)::uuid FROM report.transaction)",
            "its facts are not those that were published",
        ),
        (
            "UPDATE report.transaction_interval SET batch_value = batch_value + 1"
            " WHERE interval_start = " + LAST.format("transaction_interval"),
            "report.transaction_interval, ",
        ),
        (
            "UPDATE report.transaction_hourly SET amount_eur = amount_eur + 0.01"
            " WHERE interval_start = " + LAST.format("transaction_hourly"),
            "report.transaction_hourly, ",
        ),
        (
            "DELETE FROM report.transaction_hourly"
            " WHERE interval_start = " + LAST.format("transaction_hourly"),
            "nothing, the facts give",
        ),
        (
            "UPDATE report.transaction_final SET batch_value = batch_value + 1",
            "report.transaction_final, ",
        ),
        (
            "UPDATE speed.transaction_flow SET batch_value = batch_value + 1 WHERE curr_time ="
            " (SELECT min(curr_time) FROM speed.transaction_flow)",
            "report.transaction_interval, its flow, ",
        ),
        (
            "INSERT INTO speed.transaction_flow SELECT curr_time, branch_name || ' two',"
            " currency_code, 5, 1 FROM speed.transaction_flow ORDER BY curr_time LIMIT 1",
            "nothing, the flow has 5.00 1",
        ),
        (
            "DELETE FROM control.interval WHERE start_at ="
            " (SELECT max(start_at) FROM control.interval)",
            "facts of an interval that is not final",
        ),
    ],
)
def test_every_change_is_found(published: World, change: str, fault: str) -> None:
    published.query(change)
    faults = check(published).faults
    assert [one for one in faults if fault in one], faults
    assert all(len(one) < 300 for one in faults)


def test_what_follows_a_time_is_looked_at_alone(published: World) -> None:
    published.query("DELETE FROM report.transaction WHERE interval_start = %s", START)
    assert check(published).faults
    assert check(published, 2 * WIDTH).faults == []
