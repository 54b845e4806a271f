"""The enrichment as it runs by itself, by hand, and as a back-fill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection

from tests.batch.airflow import Airflow, Run
from tests.batch.conftest import (
    ENRICH,
    INTERVAL_S,
    SETTLED_WITHIN_S,
    Settled,
    alert,
    settled_until,
    wait_settled,
)
from tests.batch.processes import lose_a_row
from tests.batch.settled import expected, inconsistencies, reported
from tests.oracle import Oracle
from tests.stack import Stack
from watershed.contracts.model import Contract
from watershed.stores import attempts, postgres, reference
from watershed.stores.checksums import checksums
from watershed.stores.intervals import Interval

KEY = "%Y-%m-%dT%H:%M"
STEP = timedelta(seconds=INTERVAL_S)
BRANCH, MOVED = "Kazan", "moved by a test"

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("settled")]


@pytest.fixture
def busiest(batch_stack: Stack, connection: Connection, transaction: Contract) -> Interval:
    """The settled interval with most facts, once no run has anything new to settle."""
    wait_settled(batch_stack, transaction, SETTLED_WITHIN_S)
    cursor = connection.cursor()
    cursor.execute(
        "SELECT start_at, end_at FROM control.interval WHERE type = 'transaction'"
        " ORDER BY rows DESC, start_at LIMIT 1"
    )
    return Interval(*cursor.fetchone())  # type: ignore[misc]


def attempt_at(connection: Connection, start: datetime) -> int:
    """Whose result an interval has."""
    cursor = connection.cursor()
    cursor.execute("SELECT attempt FROM control.interval WHERE start_at = %s", [start])
    return int(cursor.fetchone()[0])  # type: ignore[index]


@pytest.fixture(scope="module")
def corrected(
    batch_stack: Stack, airflow: Airflow, settled: Settled, transaction: Contract
) -> Iterator[int]:
    """A snapshot that nothing is settled with, in which a branch lies in another region."""
    wait_settled(batch_stack, transaction, SETTLED_WITHIN_S)
    with postgres.connect(batch_stack.settings) as connection:
        before = region(connection)
        try:
            yield refreshed(airflow, connection, MOVED)
        finally:
            if region(connection) != before:
                refreshed(airflow, connection, before)


def region(connection: Connection) -> str:
    """Where the reference data has the branch."""
    with connection:
        cursor = connection.cursor()
        cursor.execute("SELECT region FROM reference.branch WHERE branch = %s", [BRANCH])
        return str(cursor.fetchone()[0])  # type: ignore[index]


def refreshed(airflow: Airflow, connection: Connection, region: str) -> int:
    """Enter the branch's region and take a snapshot; its number."""
    with connection:
        connection.cursor().execute(
            "UPDATE reference.branch SET region = %s WHERE branch = %s", [region, BRANCH]
        )
    assert airflow.trigger("refresh_reference").wait() == "success"
    with connection:
        return reference.newest(connection).snapshot


def settled_by_itself(airflow: Airflow) -> Run:
    """The last scheduled run that published something."""
    for one in airflow.runs(ENRICH):
        run = Run(airflow, ENRICH, one["dag_run_id"])
        is_done = (one["run_type"], one["state"]) == ("scheduled", "success")
        if is_done and run.tasks()["reconcile"]["state"] == "success":
            return run
    raise AssertionError("no scheduled run has published anything")


def test_facts_are_the_first_arrivals_of_the_raw_store(
    batch_stack: Stack, connection: Connection, oracle: Oracle, transaction: Contract
) -> None:
    # Else what other tests have sent is settled between two looks.
    wait_settled(batch_stack, transaction, SETTLED_WITHIN_S)
    should = expected(batch_stack, oracle, transaction, settled_until(batch_stack))
    found = reported(connection)
    assert len(should.facts) > 200 * INTERVAL_S * 0.9
    assert found.keys() == should.facts.keys()
    assert [key for key in found if found[key] != should.facts[key]] == []
    assert list(inconsistencies(connection)) == []
    cursor = connection.cursor()
    cursor.execute("SELECT sum(events), sum(duplicates) FROM control.interval")
    assert cursor.fetchone() == (len(should.facts) + should.repeated, should.repeated)
    assert should.repeated > 0


def test_it_was_done_in_time_by_a_scheduled_run(airflow: Airflow, settled: Settled) -> None:
    first = settled_by_itself(airflow)
    ended = datetime.fromisoformat(airflow.call("GET", first._path)["end_date"])
    assert ended - settled.started < timedelta(seconds=SETTLED_WITHIN_S)
    assert {task["state"] for task in first.tasks().values()} == {"success"}


def test_a_run_shows_its_numbers(airflow: Airflow) -> None:
    run = settled_by_itself(airflow)
    begun, loaded, checked, published, reconciled = (
        run.numbers(task) for task in ("begin", "load", "check", "publish", "reconcile")
    )
    assert begun["attempt"] > 0
    assert begun["start"] < begun["end"]
    assert loaded["seconds"] > 0
    assert checked["events"] == published["rows"] + published["duplicates"]
    assert "rows" in checked["checks"]
    assert published["intervals"] == begun["intervals"]
    assert reconciled["unexplained"] == 0


def test_the_open_position_is_the_sum_of_all_first_arrivals(
    batch_stack: Stack, connection: Connection, oracle: Oracle, transaction: Contract
) -> None:
    should: dict[str, Decimal] = {}
    far = datetime.max.replace(tzinfo=UTC)
    for _, _, currency, amount, *_ in expected(
        batch_stack, oracle, transaction, far
    ).facts.values():
        should[currency] = should.get(currency, Decimal(0)) + amount
    cursor = connection.cursor()
    cursor.execute("SELECT currency, position FROM report.open_position")
    assert dict(cursor.fetchall()) == should


def test_other_content_under_a_known_id_is_a_conflict(
    connection: Connection, settled: Settled
) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT amount FROM report.transaction WHERE transaction_id = %s",
                   [settled.conflict])  # fmt: skip
    assert cursor.fetchall() == [(Decimal("1.25"),)]
    cursor.execute("SELECT event_id FROM control.conflict")
    assert settled.conflict in {event_id for (event_id,) in cursor.fetchall()}
    cursor.execute(
        "SELECT count(*) FROM control.alert WHERE type = 'transaction'"
        " AND detail->'event_ids' ? %s",
        [settled.conflict],
    )
    assert cursor.fetchone() == (1,)


def test_what_no_rate_is_known_for_is_kept_marked_and_counted(
    connection: Connection, settled: Settled
) -> None:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT interval_start, amount, amount_eur, amount_rub, region, fact.unmatched"
        " FROM report.transaction AS fact WHERE transaction_id = %s",
        [settled.rateless],
    )
    [(start, *found)] = cursor.fetchall()
    assert found == [Decimal("2.50"), None, None, region(connection), ["fx_rate"]]
    cursor.execute(
        "SELECT unmatched FROM report.settled_interval WHERE interval_start = %s", [start]
    )
    assert cursor.fetchall() == [({"fx_rate": 1},)]


def test_one_interval_again_by_hand_changes_nothing(
    airflow: Airflow,
    connection: Connection,
    transaction: Contract,
    corrected: int,
    busiest: Interval,
) -> None:
    """It takes the reference data that it was settled with, though there is a newer snapshot."""
    before, attempt = checksums(connection, transaction), attempt_at(connection, busiest.start)
    run = airflow.trigger(ENRICH, start=busiest.start.isoformat())
    assert run.wait() == "success"
    begun = run.numbers("begin")
    assert datetime.fromisoformat(begun["start"]) == busiest.start
    assert begun["intervals"] == 1
    assert begun["snapshot"] < corrected
    assert attempt_at(connection, busiest.start) == begun["attempt"] > attempt
    assert checksums(connection, transaction) == before


def test_what_does_not_pass_its_checks_is_not_published(
    batch_stack: Stack,
    airflow: Airflow,
    connection: Connection,
    transaction: Contract,
    busiest: Interval,
) -> None:
    """Its run begins again once somebody has cleared it."""
    before, attempt = checksums(connection, transaction), attempt_at(connection, busiest.start)
    run = airflow.trigger(ENRICH, start=busiest.start.isoformat())
    run.wait_task("begin", "success", timeout_s=240)
    begun = run.numbers("begin")
    lose_a_row(batch_stack, begun["attempt"])
    assert run.wait() == "failed"
    ended = {name: task["state"] for name, task in run.tasks().items()}
    assert (ended["load"], ended["check"]) == ("success", "failed")
    assert (ended["publish"], ended["reconcile"]) == ("upstream_failed", "upstream_failed")
    message = alert(connection, run.run_id)
    assert message.startswith(
        "check: nothing is published: 2 quality checks do not hold:\n    rows"
    )
    place = f"look at staging.transaction_{begun['attempt']}"
    assert f"{place}\n  -> flow, rows: ./ws audit says" in message
    assert attempt_at(connection, busiest.start) == attempt
    assert checksums(connection, transaction) == before

    run.clear("begin")
    assert run.wait() == "success"
    assert run.numbers("begin") == begun | {"attempt": attempt_at(connection, busiest.start)}
    assert checksums(connection, transaction) == before


def test_a_correction_reaches_what_is_settled_again_and_can_be_taken_back(
    airflow: Airflow,
    connection: Connection,
    transaction: Contract,
    corrected: int,
    busiest: Interval,
) -> None:
    before, position = checksums(connection, transaction), open_position(connection)
    old, place = regions(connection), (busiest.start, BRANCH)
    [was] = {name for *at, name in old if tuple(at) == place}
    run = airflow.trigger(ENRICH, start=busiest.start.isoformat(), reference="newest")
    assert run.wait() == "success"
    assert run.numbers("begin")["snapshot"] == corrected
    after = checksums(connection, transaction)
    assert {name for name in before if after[name] != before[name]} == {"transaction"}
    moved = old | {(*place, MOVED): old[*place, was]}
    del moved[*place, was]
    assert regions(connection) == moved
    assert open_position(connection) == position

    same = refreshed(airflow, connection, was)
    backfilled(airflow, busiest.start - STEP, busiest.start, snapshot=same)
    assert attempt_at(connection, busiest.start) > run.numbers("begin")["attempt"]
    assert checksums(connection, transaction) == before


def regions(connection: Connection) -> dict[tuple[Any, ...], int]:
    """How many facts there are by interval, branch and region."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT interval_start, branch, region, count(*) FROM report.transaction GROUP BY 1, 2, 3"
    )
    return {row[:3]: row[3] for row in cursor.fetchall()}


def open_position(connection: Connection) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT currency, position, settled, live, transactions FROM report.open_position"
    )
    return sorted(cursor.fetchall())


def backfilled(airflow: Airflow, first: datetime, last: datetime, snapshot: int) -> None:
    """Back-fill from one interval to another, which is the next; each in a run of its own, with
    the newest snapshot."""
    runs = airflow.backfill(ENRICH, first.isoformat(), last.isoformat(), reference="newest")
    assert [run.state() for run in runs] == ["success", "success"]
    begun = [run.numbers("begin") for run in runs]
    assert sorted((one["start"], one["end"]) for one in begun) == [
        (start.isoformat(), (start + STEP).isoformat()) for start in (first, last)
    ]
    assert {one["snapshot"] for one in begun} == {snapshot}


def test_everything_again_by_command_changes_nothing(
    batch_stack: Stack, connection: Connection, transaction: Contract, busiest: Interval
) -> None:
    """``./ws rebuild report``, from Cassandra, beside the runs of Airflow's."""
    before, attempt = checksums(connection, transaction), attempt_at(connection, busiest.start)
    done = json.loads(batch_stack.ws("rebuild", "report", "transaction", "--json").stdout)
    assert attempt_at(connection, busiest.start) > attempt
    assert checksums(connection, transaction) == before
    cursor = connection.cursor()
    cursor.execute(
        "SELECT count(*), sum(rows), sum(duplicates) FROM control.interval"
        " JOIN control.attempt USING (attempt) WHERE run_id LIKE './ws rebuild%'"
    )
    assert cursor.fetchone() == (done["intervals"], done["rows"], done["duplicates"])
    assert done["rows"] > 0


def test_a_range_that_cannot_be_settled_is_refused_at_once(
    airflow: Airflow, connection: Connection
) -> None:
    run = airflow.trigger(ENRICH, start="2001-01-01T00:00:00Z", end="2001-01-01T01:00:00Z")
    assert run.wait() == "failed"
    assert run.tasks()["begin"]["try_number"] == 1
    assert run.tasks()["load"]["state"] == "upstream_failed"
    message = alert(connection, run.run_id)
    assert message.startswith("begin: ")
    assert "begin the range there or later" in message


def test_a_load_waits_for_the_one_who_loads(
    airflow: Airflow, connection: Connection, busiest: Interval
) -> None:
    with attempts.enriching(connection, "transaction"):
        run = airflow.trigger(ENRICH, start=busiest.start.isoformat())
        run.wait_task("load", "up_for_retry")
    assert run.wait() == "success"
    assert run.tasks()["load"]["try_number"] > 1
