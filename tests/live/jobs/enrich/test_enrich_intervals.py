"""``jobs/enrich_intervals.py``: staging has every event of an attempt once, however often tried."""

from __future__ import annotations

import signal
from datetime import UTC, timedelta
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import psutil
import pytest

from tests.support.attempt_world import World
from tests.support.spark import JOB, start
from tests.support.stack import ended, wait_until
from watershed.batch import attempts
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.parent import ORPHANED
from watershed.stores import postgres

CENT = Decimal("0.01")
EVENT = (
    "topic_id, kafka_partition, kafka_offset, arrival_time, transaction_id::text, event_time,"
    " branch, currency, amount"
)
EVERYTHING = f"{EVENT}, interval_start, payload_hash, is_first, region, amount_eur, amount_rub"


def test_staging_has_every_event_of_the_attempt(world: World) -> None:
    intervals = world.intervals(timedelta(minutes=1))
    attempt = world.begin(intervals)
    log = world.load(attempt)
    whole = Interval(attempt.start, attempt.end)
    expected = [
        (*row[:4], str(UUID(str(row[4]))), row[5].replace(tzinfo=UTC), *row[6:])
        for row in world.raw(whole)
    ]
    assert world.staged(attempt, EVENT) == expected
    _check_firsts(world, attempt, intervals)
    _check_amounts(world, attempt)
    noted = world.noted(attempt)
    assert [row[1] for row in noted] == [len(world.raw(interval)) for interval in intervals]
    assert noted[-1][1:] == (0, 0, {})
    assert f"events={len(expected)} " in log
    assert "read_s=" in log


def _check_firsts(world: World, attempt: Attempt, intervals: list[Interval]) -> None:
    columns = "topic_id, kafka_partition, kafka_offset, is_first, interval_start, arrival_time"
    rows = world.staged(attempt, columns)
    assert {row[:3] for row in rows if row[3]} == world.firsts(intervals)
    ends = {interval.start: interval.end for interval in intervals}
    assert all(begin <= arrival < ends[begin] for *_, begin, arrival in rows)
    assert sum(row[2] for row in world.noted(attempt)) == sum(not row[3] for row in rows) > 0


def _check_amounts(world: World, attempt: Attempt) -> None:
    columns = "currency, amount, event_time::date, eur_rate, rub_rate, amount_eur, amount_rub,"
    columns += " eur_rate_source, eur_rate_date, unmatched, region IS NULL"
    for currency, amount, day, own, rub, in_eur, in_rub, *source in world.staged(attempt, columns):
        assert source[-2:] == [None, False]
        assert in_eur == (amount / own).quantize(CENT, ROUND_HALF_UP)
        assert in_rub == (amount * rub / own).quantize(CENT, ROUND_HALF_UP)
        assert source[0]
        assert source[1] <= day
        assert (own == 1) == (currency == "EUR")


def test_loaded_again_it_is_the_same(world: World) -> None:
    attempt = world.begin(world.intervals(timedelta(minutes=5)))
    world.load(attempt)
    first, noted = world.staged(attempt, EVERYTHING), world.noted(attempt)
    world.load(attempt)
    assert (world.staged(attempt, EVERYTHING), world.noted(attempt)) == (first, noted)


def test_killed_after_the_rows_it_is_loaded_whole_again(world: World) -> None:
    attempt = world.begin(world.intervals(timedelta(minutes=5)))
    (world.settings.scratch_dir / "failpoint").write_text("rows_copied")
    world.load(attempt, code=-signal.SIGKILL)
    assert world.noted(attempt)[0][1] is None
    world.load(attempt)
    assert len(world.staged(attempt, EVENT)) == len(world.raw(Interval(attempt.start, attempt.end)))


def test_attempt_with_another_query_is_refused(world: World) -> None:
    attempt = world.begin(world.intervals(timedelta(minutes=5)), query_sha256="0" * 64)
    log = world.load(attempt, code=1)
    assert "enrich.sql 000000000000; now they are" in log
    assert "begin a new attempt" in log


def test_cassandra_away_is_said_with_cause_and_remedy(world: World) -> None:
    attempt = world.begin(world.intervals(timedelta(minutes=5)))
    log = world.load(attempt, code=1, WATERSHED_CASSANDRA_PORT="1")
    assert "Cassandra: Failed to open native connection" in log
    assert "  -> ./ws status shows who is away" in log
    assert "Traceback" not in log
    assert world.noted(attempt)[0][1] is None


def test_only_one_loads_a_type(world: World) -> None:
    attempt = world.begin(world.intervals(timedelta(minutes=5)))
    with (
        postgres.connect(world.settings) as other,
        attempts.enriching(other, world.contract.type),
    ):
        assert "is enriching transaction\n" in world.load(attempt, code=1)


def test_time_without_events_is_noted_as_such(world: World) -> None:
    last = world.intervals(timedelta(minutes=1))[-1].end
    empty = [Interval(last, last + timedelta(hours=1))]
    attempt = world.begin(empty)
    log = world.load(attempt)
    assert world.noted(attempt) == [(last, 0, 0, {})]
    assert "start_s" not in log  # no Spark for nothing


@pytest.mark.parametrize("lost", ["killed", "was killed before"])
def test_job_and_its_jvm_end_with_their_parent(world: World, lost: str) -> None:
    attempt = world.begin(world.intervals(timedelta(minutes=5)))
    parent = psutil.Popen(["sleep", "600"])
    if lost != "killed":
        parent.kill()
        parent.wait()
    own = {"WATERSHED_PARENT_PID": str(parent.pid)}
    job = start(world.stack, world.settings, JOB, "--attempt", str(attempt.attempt), **own)
    if lost == "killed":
        wait_until(lambda: bool(_family(job.pid)), "the job has its JVM")
        family = _family(job.pid)
        parent.kill()
        parent.wait()
        wait_until(lambda: all(map(ended, family)), "the JVM has ended")
    assert job.wait(60) == ORPHANED


def _family(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return [process for process in found if "java" in process.name()]
