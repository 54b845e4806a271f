"""Whatever is killed in the middle of an enrichment: no Spark stays, nothing is half published,
and what was to be made final is."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from psycopg2.extensions import connection as Connection

from tests.support.airflow import Airflow
from tests.support.batch import (
    ENRICH,
    INTERVAL_S,
    final_until,
    produce,
    up,
    wait_final,
)
from tests.support.oracle import Oracle
from tests.support.postgres import read
from tests.support.processes import drivers, held, kill_task, spark, wait_blocked, wait_no_spark
from tests.support.published import expected, inconsistencies, reported
from tests.support.stack import Stack, ended, wait_until
from watershed.batch.checksums import checksums
from watershed.contracts.model import Contract
from watershed.stores import postgres
from watershed.timestamps import floored

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("published")]

BEGUN, FLOW = "control.attempt", "speed.transaction_flow"
LEDGER, BATCH = "control.interval", "report.transaction_interval"


def test_killed_in_every_step_of_a_first_publication(
    batch_stack: Stack,
    airflow: Airflow,
    connection: Connection,
    oracle: Oracle,
    transaction: Contract,
) -> None:
    """Locks keep each step from ending, so that its process can be killed in the middle."""
    produce(batch_stack, oracle, seconds=5)
    key = floored(datetime.now(UTC), INTERVAL_S)
    run = airflow.trigger(ENRICH, key=key.strftime("%Y-%m-%dT%H:%M"))
    run.wait_task("gate", "deferred", "success")
    batch_stack.kill("airflow-triggerer")

    def killed(task: str, table: str) -> None:
        """Kill a task that waits for a table, and look at what it has left."""
        wait_blocked(batch_stack, table)
        kill_task(run, task)
        run.wait_task(task, "up_for_retry", "queued", "scheduled", "running", tries=1)
        wait_no_spark(batch_stack)

    with held(batch_stack, BEGUN, "SHARE ROW EXCLUSIVE"):
        run.wait_task("begin", "running", timeout_s=180)
        before = final_until(batch_stack)
        killed("begin", BEGUN)

    wait_until(lambda: bool(drivers(batch_stack)), "Spark runs", 120)
    kill_task(run, "load")
    wait_no_spark(batch_stack)
    run.wait_task("load", "running", tries=2)
    wait_until(lambda: bool(drivers(batch_stack)), "Spark runs again", 120)
    drivers(batch_stack)[0].send_signal(signal.SIGKILL)
    wait_no_spark(batch_stack)
    run.wait_task("load", "running", tries=3)

    wait_until(lambda: bool(drivers(batch_stack)), "Spark runs a third time", 120)
    with held(batch_stack, FLOW, "ACCESS EXCLUSIVE"):
        killed("check", FLOW)
        ledger = ExitStack()
        ledger.enter_context(held(batch_stack, LEDGER, "SHARE ROW EXCLUSIVE"))
    with ledger:
        killed("publish", LEDGER)
        assert final_until(batch_stack) == before
        assert list(inconsistencies(connection)) == []
    run.wait_task("publish", "success")
    with held(batch_stack, BATCH, "ACCESS EXCLUSIVE"):
        killed("reconcile", BATCH)

    assert run.wait() == "success"
    assert final_until(batch_stack) > key
    wait_final(batch_stack, transaction, 180)
    should = expected(batch_stack, oracle, transaction, final_until(batch_stack))
    assert reported(connection) == should.facts
    assert list(inconsistencies(connection)) == []


@pytest.mark.parametrize("with_all_it_started", [False, True])
def test_a_killed_scheduler_leaves_no_spark_and_its_run_ends_well(
    with_all_it_started: bool,
    batch_stack: Stack,
    airflow: Airflow,
    connection: Connection,
    transaction: Contract,
) -> None:
    before = read(connection, checksums, transaction)
    run = airflow.trigger(ENRICH, start=first_start(connection).isoformat())
    wait_until(lambda: bool(drivers(batch_stack)), "Spark runs", 180)
    restarts = batch_stack.restarts("airflow-scheduler")
    family = batch_stack.process("airflow-scheduler").children(recursive=True)
    if with_all_it_started:
        batch_stack.send("airflow-scheduler", signal.SIGKILL)
    else:
        psutil.Process(batch_stack.process("airflow-scheduler").pid).kill()
    batch_stack.wait_restarted("airflow-scheduler", restarts)
    assert family
    wait_until(lambda: all(map(ended, family)), "what it had started has ended")
    assert len(drivers(batch_stack)) <= 1
    assert run.wait(timeout_s=400) == "success"
    wait_no_spark(batch_stack)
    assert read(connection, checksums, transaction) == before
    assert list(inconsistencies(connection)) == []


def test_a_task_that_is_marked_as_failed_takes_its_spark_along(
    batch_stack: Stack, airflow: Airflow, connection: Connection
) -> None:
    run = airflow.trigger(ENRICH, start=first_start(connection).isoformat())
    wait_until(lambda: bool(drivers(batch_stack)), "Spark runs", 180)
    family = spark(batch_stack)
    run.fail("load")
    wait_no_spark(batch_stack)
    assert run.wait() == "failed"
    assert len(family) >= 2
    assert list(inconsistencies(connection)) == []


def test_one_run_publishes_several_intervals_that_passed_while_airflow_was_away(
    batch_stack: Stack,
    airflow: Airflow,
    connection: Connection,
    oracle: Oracle,
    transaction: Contract,
) -> None:
    with batch_stack.paused("airflow-scheduler"):
        before = final_until(batch_stack)
        began = datetime.now(UTC)
        two_passed = floored(began, INTERVAL_S) + timedelta(seconds=2 * INTERVAL_S)
        produce(batch_stack, oracle, seconds=(two_passed - began).seconds + 5)
        assert final_until(batch_stack) == before
    wait_final(batch_stack, transaction, 240)
    cursor = connection.cursor()
    cursor.execute(
        "SELECT count(*) FROM control.interval WHERE start_at >= %s AND rows > 0 GROUP BY attempt",
        [before],
    )
    assert max(count for (count,) in cursor.fetchall()) > 1
    should = expected(batch_stack, oracle, transaction, final_until(batch_stack))
    assert reported(connection) == should.facts
    assert list(inconsistencies(connection)) == []


def test_a_stack_that_is_stopped_during_a_load_goes_on_when_it_is_started(
    batch_stack: Stack, airflow: Airflow, transaction: Contract
) -> None:
    with postgres.connect(batch_stack.settings) as connection:
        before = read(connection, checksums, transaction)
        run = airflow.trigger(ENRICH, start=first_start(connection).isoformat())
    wait_until(lambda: bool(drivers(batch_stack)), "Spark runs", 180)
    family = spark(batch_stack)
    batch_stack.ws("down")
    assert family
    assert [one for one in family if not ended(one)] == []

    up(batch_stack)
    assert run.wait(timeout_s=400) == "success"
    with postgres.connect(batch_stack.settings) as connection:
        assert read(connection, checksums, transaction) == before
        assert list(inconsistencies(connection)) == []


def first_start(connection: Connection) -> datetime:
    """Where the first final interval that has facts begins."""
    cursor = connection.cursor()
    cursor.execute("SELECT min(start_at) FROM control.interval WHERE rows > 0")
    found: datetime = cursor.fetchone()[0]  # type: ignore[index]
    return found
