"""Publishing under failure: whatever happens, an interval is published whole, once, in order."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from psycopg2.extensions import cursor as Cursor

from tests.support.dying import dies, steps
from tests.support.report_ledger import Ledger
from tests.support.report_world import START, WIDTH, World, some_records
from watershed.batch import attempts, publish, quality_checks, staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.checksums import checksums
from watershed.batch.intervals import Interval
from watershed.batch.ledger import of_attempt
from watershed.contracts.model import Contract
from watershed.errors import AttemptError
from watershed.settings import Settings
from watershed.stores import alerts, postgres


def _pass(world: World, dice: random.Random, intervals: int = 2, records: int = 40) -> None:
    """So many intervals pass, with so many records in them."""
    end = world.clock + intervals * WIDTH
    world.arrive(some_records(dice, world.records, world.clock, end, records))
    world.pass_time(end)


def _checked(world: World, wanted: Interval | None = None) -> Attempt:
    attempt = world.begin(wanted)
    world.load(attempt)
    assert all(
        one.ok for one in quality_checks.check_staging(world.connection, world.contract, attempt)
    )
    return attempt


def test_a_publisher_may_be_killed_at_every_step(
    database: Settings, world: World, ledger: Ledger, dice: random.Random
) -> None:
    last = _publish_counting(database, world, ledger, dice)
    died = 0
    for step in [*range(1, last // 2 + 3), *range(last - 6, last + 1)]:  # two intervals are alike
        _pass(world, dice, records=6)
        attempt = _checked(world)
        publishing = partial(publish.publish, contract=world.contract, attempt=attempt)
        died += dies(database, world, step, publishing)  # alerts take a step more
        done = world.read(of_attempt, attempt)
        for one in done:
            ledger.publish(one.interval)
        ledger.check()
        publishing(world.connection)
        for interval in attempt.intervals[len(done) :]:
            ledger.publish(interval)
        ledger.check()
    assert died > last // 2
    assert world.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'staging'") == [(0,)]
    assert world.query("SELECT count(*) FROM control.attempt WHERE published_at IS NULL") == [(0,)]


def _publish_counting(settings: Settings, world: World, ledger: Ledger, dice: random.Random) -> int:
    """In how many steps two intervals are published."""
    _pass(world, dice, records=6)
    attempt = _checked(world)
    for interval in attempt.intervals:
        ledger.publish(interval)
    publishing = partial(publish.publish, contract=world.contract, attempt=attempt)
    return steps(settings, publishing)


def test_running_everything_again_changes_nothing(
    world: World, ledger: Ledger, dice: random.Random
) -> None:
    for _ in range(6):
        _pass(world, dice, intervals=4)
        for interval in world.finalize().intervals:
            ledger.publish(interval)
    before = world.read(checksums, world.contract)
    facts = world.query("SELECT start_at, checksum FROM control.interval ORDER BY 1")
    assert len({checksum for _, checksum in facts}) == len(facts)
    world.finalize(Interval(START, world.clock))
    for interval in dice.sample(sorted(ledger.facts), 10):
        world.finalize(interval)
    assert world.read(checksums, world.contract) == before
    assert world.query("SELECT start_at, checksum FROM control.interval ORDER BY 1") == facts
    ledger.check()
    world.query(
        "UPDATE report.transaction SET amount_eur = amount_eur + 0.01"
        " WHERE kafka_offset = (SELECT min(kafka_offset) FROM report.transaction)"
    )
    assert world.read(checksums, world.contract) != before


def test_an_older_attempt_never_publishes_over_a_newer_one(
    world: World, ledger: Ledger, dice: random.Random
) -> None:
    _pass(world, dice, intervals=3)
    older = _checked(world)
    newer = _checked(world, Interval(START, START + WIDTH))
    with pytest.raises(AttemptError, match=f"attempt {newer.attempt} is newer"):
        publish.publish(world.connection, world.contract, older)
    ledger.check()
    publish.publish(world.connection, world.contract, newer)
    ledger.publish(newer.intervals[0])
    with pytest.raises(AttemptError, match=f"attempt {newer.attempt} is newer"):
        publish.publish(world.connection, world.contract, older)
    ledger.check()
    apart = _checked(world)
    again = _checked(world, Interval(START, START + WIDTH))
    publish.publish(world.connection, world.contract, apart)  # they do not overlap
    publish.publish(world.connection, world.contract, again)
    for interval in apart.intervals:
        ledger.publish(interval)
    ledger.check()
    assert len(publish.publish(world.connection, world.contract, again)) == 1


def test_two_publishers_at_once(
    database: Settings, world: World, ledger: Ledger, dice: random.Random
) -> None:
    for _ in range(5):
        _pass(world, dice, intervals=4)
        attempt = _checked(world)
        with ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(_publish, database, world.contract, attempt) for _ in "three"]
            done = [future.result() for future in futures]
        assert all(one == done[0] for one in done)
        assert [one.interval for one in done[0]] == list(attempt.intervals)
        for interval in attempt.intervals:
            ledger.publish(interval)
        ledger.check()


def _publish(settings: Settings, contract: Contract, attempt: Attempt) -> Any:
    with postgres.connect(settings) as connection:
        return publish.publish(connection, contract, attempt)


def test_what_was_not_checked_is_not_published(world: World, dice: random.Random) -> None:
    _pass(world, dice)
    attempt = world.begin()
    with pytest.raises(AttemptError, match="has loaded nothing"):
        quality_checks.check_staging(world.connection, world.contract, attempt)
    world.load(attempt)
    with pytest.raises(AttemptError, match="checks have not passed"):
        publish.publish(world.connection, world.contract, attempt)
    quality_checks.check_staging(world.connection, world.contract, attempt)
    staging_table.make(world.connection, attempt)  # its job began again, and has not ended
    with pytest.raises(AttemptError, match="checks have not passed"):
        publish.publish(world.connection, world.contract, attempt)
    world.load(attempt)
    quality_checks.check_staging(world.connection, world.contract, attempt)
    assert len(publish.publish(world.connection, world.contract, attempt)) == 2


def test_staging_that_is_lost_is_not_published(
    database: Settings, world: World, ledger: Ledger, dice: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    _pass(world, dice)
    attempt = _checked(world)
    table = f"staging.{staging_table.name(attempt)}"
    with postgres.connect(database) as zombie:  # a job's row comes while it is published
        zombie.cursor().execute(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")
        monkeypatch.setattr(staging_table, "HOLD_TIMEOUT", "100ms")
        with pytest.raises(AttemptError, match="something still writes"):
            publish.publish(world.connection, world.contract, attempt)
        zombie.commit()
    with pytest.raises(AttemptError, match=r"has \d+ events of"):
        publish.publish(world.connection, world.contract, attempt)
    world.query(f"TRUNCATE {table}")  # as PostgreSQL does after a crash
    with pytest.raises(AttemptError, match="has 0 events of"):
        publish.publish(world.connection, world.contract, attempt)
    world.query(f"DROP TABLE {table}")
    with pytest.raises(AttemptError, match="is gone"):
        publish.publish(world.connection, world.contract, attempt)
    with pytest.raises(AttemptError, match="is gone"):
        quality_checks.check_staging(world.connection, world.contract, attempt)
    ledger.check()


def test_intervals_become_final_in_order_and_keep_their_bounds(
    world: World, ledger: Ledger, dice: random.Random
) -> None:
    _pass(world, dice, intervals=6)
    first = _checked(world, Interval(START, START + WIDTH))
    second = world.read(
        attempts.begin, world.contract, [Interval(START + WIDTH, START + 2 * WIDTH)], 1, "q", "r"
    )
    world.load(second)
    quality_checks.check_staging(world.connection, world.contract, second)
    with pytest.raises(AttemptError, match="is not the next interval"):
        publish.publish(world.connection, world.contract, second)
    publish.publish(world.connection, world.contract, first)
    publish.publish(world.connection, world.contract, second)
    wider = world.read(
        attempts.begin, world.contract, [Interval(START + WIDTH, START + 3 * WIDTH)], 1, "q", "r"
    )
    world.load(wider)
    quality_checks.check_staging(world.connection, world.contract, wider)
    with pytest.raises(AttemptError, match="the ledger has"):
        publish.publish(world.connection, world.contract, wider)
    ledger.publish(first.intervals[0])
    ledger.publish(second.intervals[0])
    ledger.check()


def test_conflicts_are_recorded_and_alerted_once(
    world: World, ledger: Ledger, dice: random.Random
) -> None:
    _pass(world, dice, intervals=3, records=120)
    for _ in range(2):
        for interval in world.finalize(Interval(START, world.clock)).intervals:
            ledger.publish(interval)
    ledger.check()
    assert ledger.noted
    found = world.read(alerts.newest, "transaction", timedelta(days=1))
    alerted = [i.start for i, conflicts in ledger.conflicts.items() if conflicts]
    assert len(found) == len(alerted)
    assert all("repeat an id with other content" in one.message for one in found)


def test_what_duplicates_do_not_explain_is_alerted(world: World, dice: random.Random) -> None:
    _pass(world, dice)
    attempt = _checked(world)
    world.query(
        "UPDATE speed.transaction_flow SET batch_value = batch_value + 1 WHERE curr_time ="
        " (SELECT min(curr_time) FROM speed.transaction_flow)"
    )
    publish.publish(world.connection, world.contract, attempt)
    found = world.read(alerts.newest, "transaction", timedelta(days=1))
    assert [one for one in found if "batch and flow differ" in one.message]
    assert world.query(
        "SELECT sum(unexplained_amount) < 0, sum(unexplained_count)::int"
        " FROM report.transaction_reconciliation"
    ) == [(True, 0)]


def test_a_fact_that_is_lost_is_not_taken_for_a_duplicate(
    world: World, dice: random.Random
) -> None:
    """A trigger swallows one of the rows that publishing inserts, which has no duplicates."""
    _pass(world, dice)
    attempt = _checked(world)
    [(lost,)] = world.query(
        f"SELECT {world.contract.event_id}::text FROM staging.{staging_table.name(attempt)}"
        f" GROUP BY {world.contract.event_id} HAVING count(*) = 1"
        " ORDER BY min(arrival_time) LIMIT 1"
    )
    world.query(
        "CREATE FUNCTION report.swallow() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RETURN CASE WHEN NEW.transaction_id <> '{lost}' THEN NEW END; END $$"
    )
    world.query(
        "CREATE TRIGGER swallow BEFORE INSERT ON report.transaction FOR EACH ROW"
        " EXECUTE FUNCTION report.swallow()"
    )
    publish.publish(world.connection, world.contract, attempt)
    found = world.read(alerts.newest, "transaction", timedelta(days=1))
    assert [one for one in found if "batch and flow differ in 1 groups" in one.message]
    assert world.query(
        "SELECT sum(unexplained_count)::int FROM report.transaction_reconciliation"
    ) == [(-1,)]


def test_publishing_does_not_hold_up_the_stream(
    database: Settings, world: World, dice: random.Random
) -> None:
    """A commit waits for the last two statements at most: here a publisher stands before them."""
    _pass(world, dice)
    attempt = _checked(world)
    standing, go_on = threading.Event(), threading.Event()

    class Standing(Cursor):
        def execute(self, query: Any, *values: Any) -> None:
            if "INSERT INTO control.interval" in str(query):
                standing.set()
                assert go_on.wait(20)
            super().execute(query, *values)

    with postgres.connect(database, cursor_factory=Standing) as connection:
        publisher = threading.Thread(
            target=publish.publish, args=(connection, world.contract, attempt)
        )
        publisher.start()
        assert standing.wait(20)
        world.query("SET lock_timeout = '2s'")
        _pass(world, dice)  # commits, and moves idle watermarks
        go_on.set()
        publisher.join(20)
    assert len(world.read(of_attempt, attempt)) == 2
