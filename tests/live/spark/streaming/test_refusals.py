"""What the stream refuses to read, and the command that repairs it."""

from __future__ import annotations

import json
import time
from datetime import datetime
from uuid import uuid4

from kafka import KafkaProducer, TopicPartition

from tests.support.application import Application
from tests.support.stack import wait_until
from watershed.provision.topics import ensure_topics
from watershed.stores import cassandra
from watershed.stores.topics import admin

KEPT = ("stream_offset", "stream_batch")


def _until_tried_again(app: Application, event_type: str) -> list[str]:
    """Every refusal that can be seen until the contract was tried, and refused, once more."""
    seen: dict[datetime, str] = {}
    found: list[str] = []

    def is_refused_again() -> bool:
        [(refusal, at)] = app.query(
            f"SELECT refusal, refused_at FROM control.stream WHERE type = '{event_type}'"
        )
        found.append(refusal or "")
        seen[at] = refusal
        return len(seen) > 2

    wait_until(is_refused_again, f"{event_type} is refused again")
    return found


def test_offsets_without_a_record_are_skipped_only_by_command(app: Application) -> None:
    producer = KafkaProducer(
        bootstrap_servers=app.settings.kafka_brokers, transactional_id=str(uuid4())
    )
    producer.init_transactions()
    for amount in ("1.00", "1.50"):  # a transaction ends with a marker, which takes an offset
        producer.begin_transaction()
        producer.send("holes", json.dumps(app.event(amount, time.time())).encode(), partition=0)
        producer.commit_transaction()
    producer.close()
    app.wait_refused("holes", "repair holes holes")
    assert all("repair holes" in one for one in _until_tried_again(app, "holes"))
    app.ws("repair", "holes", "holes", "--yes")
    app.send("holes", "2.00", partition=0)
    app.verify("holes")
    assert app.position("holes") == "4.50 in 3"
    assert app.progress("holes")[0].skipped == 2


def test_a_topic_that_ends_before_what_is_stored_is_made_anew_by_command(app: Application) -> None:
    app.send("shorter", "1.00", partition=0)
    app.wait_committed("shorter")
    app.query(
        "UPDATE control.stream_offset SET next_offset = 5, stored = 5 WHERE type = 'shorter'"
        " AND kafka_partition = 0"
    )
    app.send("shorter", "2.00", partition=0)
    app.wait_refused("shorter", "repair topic shorter")
    assert "loses of it" in app.ws("repair", "topic", "shorter", "--yes")
    app.send("shorter", "3.00", partition=0)
    app.wait_committed("shorter")
    assert app.position("shorter") == "4.00 in 2"
    assert app.operations("shorter") == ["./ws repair topic shorter"]


def _copy(app: Application, event_type: str) -> None:
    """Keep what PostgreSQL has of a type, as a backup would."""
    for table in KEPT:
        app.query(f"CREATE TABLE public.{event_type}_{table} AS SELECT * FROM control.{table}"
                  f" WHERE type = '{event_type}'")  # fmt: skip
    for table in ("flow", "position"):
        app.query(f"CREATE TABLE public.{event_type}_{table} AS TABLE speed.{event_type}_{table}")


def _restore(app: Application, event_type: str) -> None:
    """Put it back, in one transaction."""
    statements = [
        f"DELETE FROM control.{table} WHERE type = '{event_type}';"
        f"INSERT INTO control.{table} TABLE public.{event_type}_{table}"
        for table in KEPT
    ]
    statements += [
        f"DELETE FROM speed.{event_type}_{table};"
        f"INSERT INTO speed.{event_type}_{table} TABLE public.{event_type}_{table}"
        for table in ("flow", "position")
    ]
    app.query(";".join(statements))


def _expire(app: Application, event_type: str) -> None:
    """Let Kafka drop everything that is in partition 0, as its retention would."""
    with admin(app.settings) as client:
        client.delete_records({TopicPartition(event_type, 0): -1})


def test_postgres_restored_from_an_older_copy_takes_the_range_from_the_raw_store(
    app: Application,
) -> None:
    app.send("restored", "1.00", "2.00", partition=0)
    app.wait_committed("restored")
    _copy(app, "restored")
    app.send("restored", "3.00", "96.00", "not money", partition=0)
    app.wait_committed("restored")
    assert app.position("restored") == "102.00 in 4"
    _expire(app, "restored")
    _restore(app, "restored")
    assert app.position("restored") == "3.00 in 2"
    app.send("restored", "5.00", partition=0)
    refusal = app.wait_refused("restored", "rebuild flow restored")
    assert "[2, 5)" in refusal
    said = app.ws("rebuild", "flow", "restored")
    assert "[2, 5) taken from the raw store" in said
    app.verify("restored")
    assert app.position("restored") == "107.00 in 5"
    assert app.operations("restored") == ["./ws rebuild flow restored"]


def test_expired_records_are_given_up_only_by_command(app: Application) -> None:
    app.send("expired", "1.00", partition=0)
    app.wait_committed("expired")
    _copy(app, "expired")
    topic_id = app.query("SELECT topic_id FROM control.stream WHERE type = 'expired'")[0][0]
    app.send("expired", "2.00", "3.00", partition=0)
    app.wait_committed("expired")
    _expire(app, "expired")
    with cassandra.connect(app.settings) as session:  # as if they had never been read
        session.execute(
            "DELETE FROM events.expired WHERE topic_id = %s AND kafka_partition = 0"
            " AND offset_block = 0 AND kafka_offset >= 1",
            [topic_id],
        )
    _restore(app, "expired")
    app.send("expired", "4.00", partition=0)
    refusal = app.wait_refused("expired", "repair expired expired")
    assert "[1, 3)" in refusal
    app.ws("repair", "expired", "expired", "--yes")
    app.verify("expired")
    assert app.position("expired") == "5.00 in 2"
    assert app.progress("expired")[0].skipped == 2
    assert app.operations("expired") == ["./ws repair expired expired"]


def test_a_recreated_topic_is_refused_until_it_is_adopted(app: Application) -> None:
    app.send("recreated", "1.00", "96.00", partition=0)
    app.verify("recreated")
    before = app.watermark("recreated")
    with admin(app.settings) as client:
        client.delete_topics(["recreated"])
        wait_until(lambda: "recreated" not in client.list_topics(), "the topic is gone")
    ensure_topics(app.settings, [app.contract("recreated")])
    app.send("recreated", "2.00", partition=0)
    refusal = app.wait_refused("recreated", "repair topic recreated")
    assert "0: [0, 1)" in refusal
    assert app.position("recreated") == "97.00 in 2"
    app.ws("repair", "topic", "recreated", "--yes")
    app.verify("recreated")
    assert app.position("recreated") == "99.00 in 3"
    after = app.watermark("recreated")
    assert before is None or after is None or after >= before
    assert len(app.rows("recreated")) == 3
    assert app.operations("recreated") == ["./ws repair topic recreated"]
