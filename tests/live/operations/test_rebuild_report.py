"""All final intervals made again by command: stopped, continued, beside other runs."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.report_ledger import Ledger
from tests.support.report_world import START, WIDTH, WIDTH_S, World, some_records
from watershed.batch import attempts
from watershed.batch.attempts import Attempt
from watershed.batch.checksums import checksums
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.errors import AttemptError, IntervalError, LeaseHeldError, StackError
from watershed.operations import rebuild_report
from watershed.operations.rebuild_report import RepeatableEntry, chunks
from watershed.operations.skip_interval import next_interval
from watershed.settings import Settings
from watershed.stores import postgres
from watershed.timestamps import floored

HOUR = timedelta(hours=1)


def _nothing(*_: object) -> None:
    return


@pytest.fixture
def published(world: World, ledger: Ledger, dice: random.Random) -> World:
    """Twelve intervals, the fifth of them skipped."""
    end = START + 12 * WIDTH
    world.arrive(some_records(dice, world.records, world.clock, end, 200))
    world.pass_time(end)
    skipped = Interval(START + 4 * WIDTH, START + 5 * WIDTH)
    for interval in world.finalize(Interval(START, skipped.start)).intervals:
        ledger.publish(interval)
    world.skip(skipped)
    ledger.skip(skipped)
    for interval in world.finalize().intervals:
        ledger.publish(interval)
    return world


def _rebuild(
    settings: Settings, world: World, load: Callable[[Attempt], None] | None = None
) -> tuple[rebuild_report.RebuiltReport, list[Attempt], list[tuple[int, int]]]:
    """What it returned, what it loaded, and the progress it told."""
    loaded: list[Attempt] = []
    told: list[tuple[int, int]] = []

    def job(attempt: Attempt) -> None:
        loaded.append(attempt)
        (load or world.load)(attempt)

    done = rebuild_report.rebuild_report(settings, world.contract, job, lambda *of: told.append(of))
    return done, loaded, told


def test_everything_is_made_again(
    database: Settings, published: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published.read(checksums, published.contract)
    published.query("UPDATE report.transaction SET amount_eur = 0, amount = amount + 1")
    published.query("DELETE FROM report.transaction_hourly")
    monkeypatch.setattr(rebuild_report, "CHUNK_INTERVALS", 3)
    done, loaded, told = _rebuild(database, published)
    assert published.read(checksums, published.contract) == before
    ledger.check()
    assert (done.intervals, done.left_out, done.rows) == (11, 1, len(ledger.final))
    assert [len(one.intervals) for one in loaded] == [3, 1, 3, 3, 1]  # the skipped one parts them
    assert told == [(0, 11), (3, 11), (4, 11), (7, 11), (10, 11), (11, 11)]
    _rebuild(database, published)
    assert published.read(checksums, published.contract) == before


def test_one_that_was_stopped_goes_on(
    database: Settings, published: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_report, "CHUNK_INTERVALS", 3)

    def fail(attempt: Attempt) -> None:
        if attempt.start >= START + 5 * WIDTH:
            raise StackError("the job ended", "look")
        published.load(attempt)

    for _ in range(2):
        with pytest.raises(StackError):
            _rebuild(database, published, fail)
        ledger.check()
    done, loaded, told = _rebuild(database, published)
    assert (done.intervals, told[0], told[-1]) == (7, (4, 11), (11, 11))
    assert min(one.start for one in loaded) == START + 5 * WIDTH
    assert published.query("SELECT command, detail ? 'ended' FROM control.operator_log"
                         " WHERE command LIKE '%%rebuild%%' ORDER BY id") == [
        ("./ws rebuild report transaction", False),
        ("./ws rebuild report transaction", True),
    ]  # fmt: skip
    done, _, _ = _rebuild(database, published)
    assert done.intervals == 11


def test_another_query_begins_anew(
    database: Settings, published: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_report, "CHUNK_INTERVALS", 3)

    def fail(attempt: Attempt) -> None:
        if attempt.start > START:
            raise StackError("the job ended", "look")
        published.load(attempt)

    with pytest.raises(StackError):
        _rebuild(database, published, fail)
    shutil.copytree(database.schemas_dir, tmp_path / "schemas")
    query = tmp_path / "schemas" / "transaction" / "enrich.sql"
    query.write_text(query.read_text() + "\n-- changed\n")
    changed = database.model_copy(update={"schemas_dir": tmp_path / "schemas"})
    done, loaded, _ = _rebuild(changed, published)
    assert done.intervals == 11
    assert len({one.query_sha256 for one in loaded}) == 1
    assert published.query(
        "SELECT DISTINCT query_sha256 FROM control.interval JOIN control.attempt USING (attempt)"
    ) == [(loaded[0].query_sha256,)]


def test_what_would_expire_meanwhile_is_left_out(
    database: Settings, contract: Contract, dice: random.Random
) -> None:
    """The first chunk would be refused when it is published, and the next time, and again."""
    now = datetime.now(UTC)
    with postgres.connect(database) as connection:
        world = World(connection, contract, floored(now - 21 * HOUR, WIDTH_S))
        world.start()
        end = world.clock + 24 * WIDTH
        world.arrive(some_records(dice, [], world.clock, end, 200))
        world.pass_time(end)
        world.finalize()
        retention = contract.retention.model_copy(update={"ttl_days": 1})
        world.contract = contract.model_copy(update={"retention": retention})
        done, loaded, _ = _rebuild(database, world)
        assert done.left_out in (12, 13)
        assert done.left_out + done.intervals == 24
        assert loaded[0].start >= now - 20 * HOUR


def test_what_fails_a_check_stays_as_it_was(
    database: Settings, published: World, ledger: Ledger
) -> None:
    before = published.read(checksums, published.contract)
    with pytest.raises(AttemptError, match="does not pass its checks: rows:"):
        _rebuild(database, published, lambda attempt: published.load(attempt, dropped=1))
    assert published.read(checksums, published.contract) == before


def test_only_one_at_a_time(database: Settings, published: World) -> None:
    def again(_: Attempt) -> None:
        with pytest.raises(LeaseHeldError, match="is rebuilding the report of transaction"):
            rebuild_report.rebuild_report(database, published.contract, _nothing, _nothing)
        raise StackError("seen", "")

    with pytest.raises(StackError, match="seen"):
        _rebuild(database, published, again)


def test_it_waits_for_a_run_of_airflows(database: Settings, published: World) -> None:
    """That run's attempt is not overtaken while it is loaded."""
    loading, go_on = threading.Event(), threading.Event()

    def load() -> None:
        with (
            postgres.connect(database) as connection,
            attempts.enriching(connection, "transaction"),
        ):
            loading.set()
            assert go_on.wait(20)

    run = threading.Thread(target=load)
    run.start()
    assert loading.wait(20)
    told: list[Any] = []

    def watch(*of: int) -> None:
        told.append(of)
        go_on.set()

    done = rebuild_report.rebuild_report(database, published.contract, published.load, watch)
    run.join(20)
    assert done.intervals == 11


def test_a_run_that_overtakes_it_stands(database: Settings, published: World) -> None:
    def overtaken(attempt: Attempt) -> None:
        published.load(attempt)
        published.finalize(attempt.intervals[1])

    with pytest.raises(AttemptError, match="is newer and overlaps"):
        _rebuild(database, published, overtaken)


def test_the_next_interval(database: Settings, published: World) -> None:
    with pytest.raises(IntervalError, match="no interval of transaction is complete"):
        next_interval(database, published.contract)
    published.pass_time(START + 14.5 * WIDTH)
    found = next_interval(database, published.contract)
    assert found == Interval(START + 12 * WIDTH, START + 13 * WIDTH)


def test_chunks_are_adjacent_and_not_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild_report, "CHUNK_EVENTS", 10)

    def row(start: int, events: int) -> RepeatableEntry:
        return RepeatableEntry(
            Interval(START + start * WIDTH, START + (start + 1) * WIDTH), events, "run"
        )

    todo = [row(0, 4), row(1, 6), row(2, 1), row(4, 50), row(5, 1)]
    found = [[(part.start - START) // WIDTH for part in parts] for parts in chunks(todo)]
    assert found == [[0, 1], [2], [4], [5]]
    assert list(chunks([])) == []
