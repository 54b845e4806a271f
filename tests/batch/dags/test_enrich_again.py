"""What is final, published again: by hand, as a back-fill, by command, with newer references."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.airflow import Airflow
from tests.support.batch import (
    ENRICH,
    FINAL_WITHIN_S,
    INTERVAL_S,
    Published,
    alert,
    wait_final,
)
from tests.support.postgres import read
from tests.support.processes import lose_a_row
from tests.support.stack import Stack
from watershed.batch import attempts
from watershed.batch.checksums import checksums
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.stores import postgres, reference

STEP = timedelta(seconds=INTERVAL_S)
BRANCH, MOVED = "Kazan", "moved by a test"

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("published")]


@pytest.fixture
def busiest(batch_stack: Stack, connection: Connection, transaction: Contract) -> Interval:
    """The final interval with most facts, once no run has anything new to finalize."""
    wait_final(batch_stack, transaction, FINAL_WITHIN_S)
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
    batch_stack: Stack, airflow: Airflow, published: Published, transaction: Contract
) -> Iterator[int]:
    """A snapshot that nothing was published with, in which a branch lies in another region."""
    wait_final(batch_stack, transaction, FINAL_WITHIN_S)
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
    return read(connection, reference.newest).snapshot


def test_one_interval_again_by_hand_changes_nothing(
    airflow: Airflow,
    connection: Connection,
    transaction: Contract,
    corrected: int,
    busiest: Interval,
) -> None:
    """It takes the reference data that it was published with, though there is a newer snapshot."""
    before, attempt = (
        read(connection, checksums, transaction),
        attempt_at(connection, busiest.start),
    )
    run = airflow.trigger(ENRICH, start=busiest.start.isoformat())
    assert run.wait() == "success"
    begun = run.numbers("begin")
    assert datetime.fromisoformat(begun["start"]) == busiest.start
    assert begun["intervals"] == 1
    assert begun["snapshot"] < corrected
    assert attempt_at(connection, busiest.start) == begun["attempt"] > attempt
    assert read(connection, checksums, transaction) == before


def test_what_does_not_pass_its_checks_is_not_published(
    batch_stack: Stack,
    airflow: Airflow,
    connection: Connection,
    transaction: Contract,
    busiest: Interval,
) -> None:
    """Its run begins again once somebody has cleared it."""
    before, attempt = (
        read(connection, checksums, transaction),
        attempt_at(connection, busiest.start),
    )
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
    assert read(connection, checksums, transaction) == before

    run.clear("begin")
    assert run.wait() == "success"
    assert run.numbers("begin") == begun | {"attempt": attempt_at(connection, busiest.start)}
    assert read(connection, checksums, transaction) == before


def test_a_correction_reaches_what_is_published_again_and_can_be_taken_back(
    airflow: Airflow,
    connection: Connection,
    transaction: Contract,
    corrected: int,
    busiest: Interval,
) -> None:
    before, position = read(connection, checksums, transaction), open_position(connection)
    old, place = regions(connection), (busiest.start, BRANCH)
    [was] = {name for *at, name in old if tuple(at) == place}
    run = airflow.trigger(ENRICH, start=busiest.start.isoformat(), reference="newest")
    assert run.wait() == "success"
    assert run.numbers("begin")["snapshot"] == corrected
    after = read(connection, checksums, transaction)
    assert {name for name in before if after[name] != before[name]} == {"transaction"}
    moved = old | {(*place, MOVED): old[*place, was]}
    del moved[*place, was]
    assert regions(connection) == moved
    assert open_position(connection) == position

    same = refreshed(airflow, connection, was)
    backfilled(airflow, busiest.start - STEP, busiest.start, snapshot=same)
    assert attempt_at(connection, busiest.start) > run.numbers("begin")["attempt"]
    assert read(connection, checksums, transaction) == before


def regions(connection: Connection) -> dict[tuple[Any, ...], int]:
    """How many facts there are by interval, branch and region."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT interval_start, branch, region, count(*) FROM report.transaction GROUP BY 1, 2, 3"
    )
    return {row[:3]: row[3] for row in cursor.fetchall()}


def open_position(connection: Connection) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.execute("SELECT currency, position, final, live, transactions FROM report.open_position")
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
    before, attempt = (
        read(connection, checksums, transaction),
        attempt_at(connection, busiest.start),
    )
    done = json.loads(batch_stack.ws("rebuild", "report", "transaction", "--json").stdout)
    assert attempt_at(connection, busiest.start) > attempt
    assert read(connection, checksums, transaction) == before
    cursor = connection.cursor()
    cursor.execute(
        "SELECT count(*), sum(rows), sum(duplicates) FROM control.interval"
        " JOIN control.attempt USING (attempt) WHERE run_id LIKE './ws rebuild%'"
    )
    assert cursor.fetchone() == (done["intervals"], done["rows"], done["duplicates"])
    assert done["rows"] > 0


def test_a_range_that_cannot_be_published_is_refused_at_once(
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
