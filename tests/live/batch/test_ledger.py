"""Which intervals there are: cut by the grid, kept as they were, in order, and skipped by hand."""

from __future__ import annotations

import random
from datetime import timedelta

import psycopg2
import pytest

from tests.support.report_ledger import Ledger
from tests.support.report_world import START, WIDTH_S, World, some_records
from watershed.batch import attempts
from watershed.batch.intervals import Interval
from watershed.batch.ledger import snapshots
from watershed.errors import IntervalError, LeaseHeldError, SettingsError
from watershed.settings import Settings
from watershed.speed import contract_versions, progress, time_index
from watershed.stores import postgres

MINUTE = timedelta(minutes=1)


def _arrive(world: World, dice: random.Random, until: timedelta) -> None:
    world.arrive(some_records(dice, world.records, world.clock, START + until, 60))
    world.pass_time(START + until)


def _at(start: int, end: int) -> Interval:
    """Minutes after START."""
    return Interval(START + start * MINUTE, START + end * MINUTE)


def _plan(world: World, start: int, end: int, width_s: int = WIDTH_S) -> list[Interval]:
    return world.plan(_at(start, end), width_s)


def test_nothing_is_pending_before_an_interval_is_complete(
    world: World, dice: random.Random
) -> None:
    assert world.pending() is None
    world.pass_time(START + 7 * MINUTE)
    assert world.pending() is None
    with pytest.raises(IntervalError, match="is not complete in the raw store"):
        _plan(world, 0, 5)
    world.arrive(some_records(dice, [], START + 8 * MINUTE, START + 9 * MINUTE, 4))
    world.pass_time(START + timedelta(minutes=9, seconds=59))
    assert world.pending() is None
    world.pass_time(START + 10 * MINUTE)
    # The first interval is that of the first arrival.
    assert world.pending() == _at(5, 10)
    world.pass_time(START + 21 * MINUTE)
    assert world.pending() == _at(5, 20)
    assert _plan(world, 5, 20) == [_at(5, 10), _at(10, 15), _at(15, 20)]


def test_when_the_stream_last_got_on(world: World, dice: random.Random) -> None:
    """What the heartbeat asks, of a stream that has just begun, commits, and is idle."""
    asked = time_index.newest_commit, progress.complete_until, contract_versions.first_adopted
    assert [world.read(ask, "transaction") for ask in asked] == [None, None, None]
    began = world.query("SELECT clock_timestamp()")[0][0]
    contract_versions.adopt(world.connection, world.contract, {})
    world.arrive(some_records(dice, [], START, START + MINUTE, 60))
    world.pass_time(START + 2 * MINUTE)
    committed, complete, taken = (world.read(ask, "transaction") for ask in asked)
    assert complete == START + 2 * MINUTE
    assert committed is not None
    assert taken is not None
    assert began < taken < committed


def test_another_width_keeps_what_was_final(
    world: World, ledger: Ledger, dice: random.Random
) -> None:
    _arrive(world, dice, 61 * MINUTE)
    for interval in world.finalize(_at(0, 10)).intervals:
        ledger.publish(interval)
    wide = 1800
    assert world.pending(wide) == _at(10, 60)
    assert _plan(world, 0, 60, wide) == [_at(0, 5), _at(5, 10), _at(10, 30), _at(30, 60)]
    attempt = world.begin(_at(5, 60), wide)
    world.load(attempt)
    assert attempt.intervals == (_at(5, 10), _at(10, 30), _at(30, 60))
    for width_s in (30, 420, 7 * 3600, 86_400 * 2):
        with pytest.raises(SettingsError, match="must be a divisor of a day"):
            world.pending(width_s)
    hourly_flow = world.contract.flow.model_copy(update={"window_s": 3600})
    world.contract = world.contract.model_copy(update={"flow": hourly_flow})
    with pytest.raises(SettingsError, match=r"a multiple of flow.window_s, 3600"):
        world.pending()


def test_an_operator_skips_the_next_interval_alone(
    world: World, ledger: Ledger, dice: random.Random
) -> None:
    _arrive(world, dice, 31 * MINUTE)
    ledger.publish(world.finalize(_at(0, 5)).intervals[0])
    for wrong in (_at(0, 5), _at(10, 15)):
        with pytest.raises(IntervalError, match="is not the next one to be published"):
            world.skip(wrong)
    before = ledger.position_found()
    world.skip(_at(5, 10))
    ledger.skip(_at(5, 10))
    assert ledger.position_found() == before
    ledger.check()
    assert world.query("SELECT command FROM control.operator_log") == [
        ("./ws skip-interval transaction 2026-10-31T22:05Z",)
    ]
    for interval in world.finalize().intervals:
        ledger.publish(interval)
    ledger.check()
    for interval in world.finalize(_at(0, 15)).intervals:  # filled back
        ledger.publish(interval)
    ledger.check()
    assert not ledger.skipped


def test_the_ledger_names_the_snapshot_of_what_is_final(world: World, dice: random.Random) -> None:
    _arrive(world, dice, 21 * MINUTE)
    world.finalize(_at(0, 5))
    world.skip(_at(5, 10))
    world.query("INSERT INTO control.reference_snapshot (folder, tables) VALUES ('two', '{}')")
    world.finalize(_at(10, 15), snapshot=2)
    whole = [_at(0, 5), _at(5, 10), _at(10, 15), _at(15, 20)]
    assert world.read(snapshots, "transaction", whole) == {
        _at(0, 5).start: 1,
        _at(10, 15).start: 2,
    }
    assert world.read(snapshots, "transaction", whole[2:]) == {_at(10, 15).start: 2}
    assert world.read(snapshots, "other", whole) == {}


def test_a_run_is_found_by_its_last_attempt(world: World, dice: random.Random) -> None:
    _arrive(world, dice, 11 * MINUTE)
    world.begin()
    last = world.begin(_at(0, 5), snapshot=1)
    assert world.read(attempts.of_run, "transaction", "test") == last
    assert world.read(attempts.of_run, "transaction", "another") is None
    assert world.read(attempts.of_run, "other", "test") is None


def test_what_has_expired_is_not_published_again(world: World, dice: random.Random) -> None:
    """Raw rows and their keys are gone then: it would look as if nothing had arrived."""
    _arrive(world, dice, 11 * MINUTE)
    world.finalize()
    age = world.query("SELECT ceil(extract(epoch FROM now() - %s) / 86400)::int", START)[0][0]
    short = world.contract.retention.model_copy(update={"ttl_days": max(1, age - 1)})
    world.contract = world.contract.model_copy(update={"retention": short})
    with pytest.raises(IntervalError, match="2026-10-31 22:00 cannot be made again"):
        _plan(world, 0, 5)


def test_the_ledger_cannot_overlap(world: World, dice: random.Random) -> None:
    _arrive(world, dice, 11 * MINUTE)
    world.finalize()
    insert = "INSERT INTO control.interval (type, start_at, end_at) VALUES (%s, %s, %s)"
    with pytest.raises(psycopg2.errors.ExclusionViolation):
        world.query(insert, "transaction", *_at(7, 12))
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):  # another type's may
        world.query(insert, "other", *_at(7, 12))


def test_one_run_at_a_time_loads_a_contract(database: Settings, world: World) -> None:
    with postgres.connect(database, application_name="the first run") as other:
        with (
            attempts.enriching(world.connection, "transaction"),
            pytest.raises(
                LeaseHeldError, match=r"watershed, connected since .*, is enriching transaction"
            ),
            attempts.enriching(other, "transaction"),
        ):
            raise AssertionError
        with attempts.enriching(other, "transaction"), attempts.enriching(other, "other"):
            world.query("SELECT pg_terminate_backend(%s, 5000)", other.info.backend_pid)
            with attempts.enriching(world.connection, "transaction"):  # it died: the lock is free
                other.close()
