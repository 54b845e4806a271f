"""The other DAGs, each of which runs once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.airflow import Airflow
from tests.support.batch import Published, alert
from tests.support.oracle import Oracle
from tests.support.progress import is_caught_up
from tests.support.records import event, newest, send, tell
from tests.support.stack import Stack, wait_until
from watershed.operations.replay import HEADER

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("published")]


def test_reference_data_was_refreshed_at_the_first_start(
    airflow: Airflow, connection: Connection, published: Published
) -> None:
    [first, *_] = reversed(airflow.runs("refresh_reference"))
    assert (first["run_type"], first["state"]) == ("scheduled", "success")
    cursor = connection.cursor()
    cursor.execute("SELECT min(taken_at) < %s FROM control.reference_snapshot", [datetime.now(UTC)])
    assert cursor.fetchone() == (True,)


def test_those_that_find_nothing_wrong_succeed(airflow: Airflow) -> None:
    runs = [airflow.trigger(dag) for dag in ("audit", "heartbeat", "retention", "export_lake")]
    assert {run.dag: run.wait() for run in runs} == {run.dag: "success" for run in runs}


def test_a_refusal_of_the_stream_fails_the_heartbeat(
    airflow: Airflow, connection: Connection
) -> None:
    update = "UPDATE control.stream SET refusal = %s WHERE type = 'transaction'"
    connection.cursor().execute(update, ["offsets without a record\n  -> ./ws repair holes"])
    try:
        beat = airflow.trigger("heartbeat")
        assert beat.wait() == "failed"
    finally:
        connection.cursor().execute(update, [None])
    assert "offsets without a record" in alert(connection, beat.run_id)
    assert "./ws repair holes" in alert(connection, beat.run_id)


def test_a_silent_stream_fails_the_heartbeat(
    batch_stack: Stack, airflow: Airflow, connection: Connection
) -> None:
    with batch_stack.away("stream"):
        connection.cursor().execute(
            "UPDATE control.stream SET heartbeat_at = heartbeat_at - interval '2 minutes'"
            " WHERE type = 'transaction'"
        )
        beat = airflow.trigger("heartbeat")
        assert beat.wait() == "failed"
    assert "its stream is silent since" in alert(connection, beat.run_id)
    assert "./ws status shows whether it runs" in alert(connection, beat.run_id)


def test_an_audit_that_does_not_hold_fails(airflow: Airflow, connection: Connection) -> None:
    wrong = (
        "UPDATE speed.transaction_flow SET batch_value = batch_value + %s WHERE curr_time ="
        " (SELECT max(curr_time) FROM speed.transaction_flow)"
    )
    connection.cursor().execute(wrong, [1])
    try:
        audit = airflow.trigger("audit")
        assert audit.wait() == "failed"
    finally:
        connection.cursor().execute(wrong, [-1])
    assert "transaction flow: " in alert(connection, audit.run_id)


def test_quarantined_records_are_replayed_from_the_form(
    batch_stack: Stack, airflow: Airflow, oracle: Oracle, connection: Connection
) -> None:
    place = send(batch_stack, oracle, b"broken", event(amount=True), "invalid")
    wait_until(lambda: is_caught_up(batch_stack), "the stream has caught up")
    where = {"type": "transaction", "partition": place.partition, "first": place.offset}
    repaired = event()
    unrepaired = airflow.trigger("replay_quarantine", **where, reason="as it is")
    assert unrepaired.wait() == "failed"
    assert "mistyped_field" in alert(connection, unrepaired.run_id)
    replayed = airflow.trigger(
        "replay_quarantine", **where, reason="amount was true", value=repaired.decode()
    )
    again = airflow.trigger(
        "replay_quarantine", **where, reason="amount was true", value=repaired.decode()
    )
    assert (replayed.wait(), again.wait()) == ("success", "failed")
    assert "was replayed already" in alert(connection, again.run_id)
    [record] = [one for one in newest(batch_stack) if one.value == repaired]
    tell(oracle, record)
    assert [name for name, _ in record.headers] == [HEADER]
    assert replayed.numbers("replay") == {
        "sent": {str(place): f"transaction/{record.partition}/{record.offset}"}
    }
    cursor = connection.cursor()
    cursor.execute("SELECT detail->>'reason' FROM control.operator_log ORDER BY id DESC LIMIT 1")
    assert str(cursor.fetchone()).startswith("('amount was true (admin, Airflow run ")
