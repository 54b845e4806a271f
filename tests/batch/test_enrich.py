"""The enrichment as it runs by itself, by hand, and as a back-fill."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from psycopg2.extensions import connection as Connection

from tests.batch.airflow import Airflow, Run
from tests.batch.conftest import (
    ENRICH,
    INTERVAL_S,
    SETTLED_WITHIN_S,
    Settled,
    settled_until,
    wait_settled,
)
from tests.batch.settled import expected, inconsistencies, reported
from tests.oracle import Oracle
from tests.stack import Stack
from watershed.contracts.model import Contract
from watershed.stores import attempts, reference
from watershed.stores.checksums import checksums
from watershed.stores.intervals import Interval

KEY = "%Y-%m-%dT%H:%M"
STEP = timedelta(seconds=INTERVAL_S)

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


@pytest.fixture
def newest(airflow: Airflow, connection: Connection, busiest: Interval) -> int:
    """A snapshot of the reference data that is newer than the one ``busiest`` was settled with."""
    [has] = attempts.snapshots(connection, "transaction", [busiest]).values()
    found = reference.newest(connection).snapshot
    if found == has:
        assert airflow.trigger("refresh_reference").wait() == "success"
        found = reference.newest(connection).snapshot
    assert found > has
    return found


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


def test_one_interval_again_by_hand_changes_nothing(
    airflow: Airflow,
    connection: Connection,
    transaction: Contract,
    busiest: Interval,
    newest: int,
) -> None:
    """It takes the reference data that it was settled with, though there is a newer snapshot."""
    before, attempt = checksums(connection, transaction), attempt_at(connection, busiest.start)
    run = airflow.trigger(ENRICH, start=busiest.start.isoformat())
    assert run.wait() == "success"
    begun = run.numbers("begin")
    assert datetime.fromisoformat(begun["start"]) == busiest.start
    assert begun["intervals"] == 1
    assert begun["snapshot"] < newest
    assert attempt_at(connection, busiest.start) == begun["attempt"] > attempt
    assert checksums(connection, transaction) == before

    run.clear("begin")
    assert run.wait() == "success"
    assert run.numbers("begin") == begun | {"attempt": attempt_at(connection, busiest.start)}
    assert checksums(connection, transaction) == before


def test_a_backfill_with_newer_reference_data_that_is_the_same_changes_nothing(
    airflow: Airflow,
    connection: Connection,
    transaction: Contract,
    busiest: Interval,
    newest: int,
) -> None:
    before, attempt = checksums(connection, transaction), attempt_at(connection, busiest.start)
    first = busiest.start - STEP
    runs = airflow.backfill(
        ENRICH, first.isoformat(), busiest.start.isoformat(), reference="newest"
    )
    assert [run.state() for run in runs] == ["success", "success"]
    begun = sorted((run.numbers("begin")["start"], run.numbers("begin")["end"]) for run in runs)
    assert begun == [
        (start.isoformat(), (start + STEP).isoformat()) for start in (first, busiest.start)
    ]
    assert {run.numbers("begin")["snapshot"] for run in runs} == {newest}
    assert attempt_at(connection, busiest.start) > attempt
    assert checksums(connection, transaction) == before


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
    cursor = connection.cursor()
    cursor.execute("SELECT message FROM control.alert WHERE detail->>'run' = %s", [run.run_id])
    [[message]] = cursor.fetchall()
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
