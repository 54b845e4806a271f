"""The enrichment as it runs by itself: what is reported, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.airflow import Airflow, Run
from tests.support.batch import (
    ENRICH,
    FINAL_WITHIN_S,
    INTERVAL_S,
    Published,
    final_until,
    wait_final,
)
from tests.support.oracle import Oracle
from tests.support.published import expected, inconsistencies, reported
from tests.support.stack import Stack
from watershed.contracts.model import Contract

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("published")]


def published_by_itself(airflow: Airflow) -> Run:
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
    # Else what other tests have sent is final between two looks.
    wait_final(batch_stack, transaction, FINAL_WITHIN_S)
    should = expected(batch_stack, oracle, transaction, final_until(batch_stack))
    found = reported(connection)
    assert len(should.facts) > 200 * INTERVAL_S * 0.9
    assert found.keys() == should.facts.keys()
    assert [key for key in found if found[key] != should.facts[key]] == []
    assert list(inconsistencies(connection)) == []
    cursor = connection.cursor()
    cursor.execute("SELECT sum(events), sum(duplicates) FROM control.interval")
    assert cursor.fetchone() == (len(should.facts) + should.repeated, should.repeated)
    assert should.repeated > 0


def test_it_was_done_in_time_by_a_scheduled_run(airflow: Airflow, published: Published) -> None:
    first = published_by_itself(airflow)
    ended = datetime.fromisoformat(airflow.call("GET", first._path)["end_date"])
    assert ended - published.started < timedelta(seconds=FINAL_WITHIN_S)
    assert {task["state"] for task in first.tasks().values()} == {"success"}


def test_a_run_shows_its_numbers(airflow: Airflow) -> None:
    run = published_by_itself(airflow)
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
    connection: Connection, published: Published
) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT amount FROM report.transaction WHERE transaction_id = %s",
                   [published.conflict])  # fmt: skip
    assert cursor.fetchall() == [(Decimal("1.25"),)]
    cursor.execute("SELECT event_id FROM control.conflict")
    assert published.conflict in {event_id for (event_id,) in cursor.fetchall()}
    cursor.execute(
        "SELECT count(*) FROM control.alert WHERE type = 'transaction'"
        " AND detail->'event_ids' ? %s",
        [published.conflict],
    )
    assert cursor.fetchone() == (1,)


def test_what_no_rate_is_known_for_is_kept_marked_and_counted(
    connection: Connection, published: Published
) -> None:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT interval_start, amount, amount_eur, amount_rub, unmatched,"
        " fact.region = branch.region"
        " FROM report.transaction AS fact JOIN reference.branch USING (branch)"
        " WHERE transaction_id = %s",
        [published.rateless],
    )
    [(start, *found)] = cursor.fetchall()
    assert found == [Decimal("2.50"), None, None, ["fx_rate"], True]
    cursor.execute("SELECT unmatched FROM report.interval WHERE interval_start = %s", [start])
    assert cursor.fetchall() == [({"fx_rate": 1},)]
