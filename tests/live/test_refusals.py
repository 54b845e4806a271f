"""Arrival times and watermarks; and what the stream refuses, with the command that repairs it.

One application streams an event type per test: that the others go on while one is refused is
part of what is shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from uuid import uuid4

import pytest
from kafka import KafkaProducer, TopicPartition

from tests.live.application import Application, application
from tests.stack import Stack, wait_until
from watershed.stores import cassandra, control
from watershed.stores.topics import admin, ensure_topics

TYPES = ("idle", "expired", "restored", "recreated", "holes", "shorter")
BY_PRODUCERS_CLOCK = ("straggler", "ahead", "behind")
KEPT = ("stream_offset", "stream_batch")


@pytest.fixture(scope="module")
def app(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    folder = tmp_path_factory.mktemp("refusals")
    application(stack, folder, *BY_PRODUCERS_CLOCK, create_time=True)
    declared = application(stack, folder, *TYPES)
    with declared.running("app"):
        # Spark's start, and the first plan of nine queries, are not what is tested.
        wait_until(declared.has_started, "each contract's query lives", 180)
        yield declared


def watermark(app: Application, event_type: str) -> datetime | None:
    """The contract's watermark."""
    return control.watermark(app.progress(event_type))


def test_watermarks_of_idle_partitions_and_topics_move_on(app: Application) -> None:
    app.send("idle", "1.00", partition=0)
    app.verify("idle")
    wait_until(lambda: watermark(app, "idle") is not None, "each partition has a watermark")
    first = watermark(app, "idle")
    assert first is not None
    wait_until(lambda: (watermark(app, "idle") or first) > first, "the watermark moves on")
    now = watermark(app, "idle")
    assert now is not None
    assert now < datetime.now(UTC)


def test_a_partition_added_while_running_inherits_the_watermark(app: Application) -> None:
    app.send("idle", "2.00", partition=1)
    app.wait_committed("idle")
    wait_until(lambda: watermark(app, "idle") is not None, "each partition has a watermark")
    before = watermark(app, "idle")
    assert before is not None
    with admin(app.settings) as client:
        client.create_partitions({"idle": 4})
    app.send("idle", "3.00", partition=3)
    app.wait_committed("idle")
    [row] = [row for row in app.rows("idle") if row.kafka_partition == 3]
    assert row.arrival_time.replace(tzinfo=UTC) >= before
    app.verify("idle")


def test_a_straggler_arrives_behind_what_was_promised(app: Application) -> None:
    now = int(time.time() * 1000)
    app.send("straggler", "1.00", partition=0, timestamp_ms=now)
    app.wait_committed("straggler")
    promised = app.progress("straggler")[0].watermark
    assert promised is not None
    app.send("straggler", "2.00", partition=0, timestamp_ms=now - 240_000)
    app.wait_committed("straggler")
    late = next(row for row in app.rows("straggler") if row.kafka_offset == 1)
    assert late.kafka_time < late.arrival_time - timedelta(minutes=3)
    assert late.arrival_time.replace(tzinfo=UTC) >= promised
    again = app.progress("straggler")[0].watermark
    assert again is not None
    assert again >= promised
    app.verify("straggler")


def test_a_clock_far_ahead_is_refused_until_somebody_decides(app: Application) -> None:
    later = int(time.time() * 1000) + 1_800_000  # Kafka itself refuses more than an hour
    app.send("ahead", "1.00", partition=0, timestamp_ms=later)
    refusal = app.wait_refused("ahead", "repair clock ahead")
    assert "ahead/0" in refusal
    assert "[0, 1)" in refusal
    assert not app.rows("ahead")
    app.send("idle", "4.00")
    app.wait_committed("idle")  # the others go on
    app.ws("repair", "clock", "ahead", "--yes")
    app.wait_committed("ahead")
    [row] = app.rows("ahead")
    assert abs(row.arrival_time.replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=5)
    wait_until(lambda: not app.refusal("ahead"), "the refusal is taken back")
    assert app.operations("ahead") == ["./ws repair clock ahead"]
    app.verify("ahead")


def test_a_clock_that_went_back_far_is_refused_until_somebody_decides(app: Application) -> None:
    now = int(time.time() * 1000)
    app.send("behind", "1.00", partition=0, timestamp_ms=now)
    app.wait_committed("behind")
    app.send("behind", "2.00", partition=0, timestamp_ms=now - 3_600_000, event_time_ms=now)
    assert "[1, 2)" in app.wait_refused("behind", "repair clock behind")
    assert len(app.rows("behind")) == 1
    app.ws("repair", "clock", "behind", "--yes")
    app.verify("behind")
    assert app.position("behind") == "3.00 in 2"  # and not in quarantine


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
    generation = app.query("SELECT generation FROM control.stream WHERE type = 'expired'")[0][0]
    app.send("expired", "2.00", "3.00", partition=0)
    app.wait_committed("expired")
    _expire(app, "expired")
    with cassandra.connect(app.settings) as session:  # as if they had never been read
        session.execute(
            "DELETE FROM events.expired WHERE generation = %s AND kafka_partition = 0"
            " AND offset_block = 0 AND kafka_offset >= 1",
            [generation],
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
    before = watermark(app, "recreated")
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
    after = watermark(app, "recreated")
    assert before is None or after is None or after >= before
    assert len(app.rows("recreated")) == 3
    assert app.operations("recreated") == ["./ws repair topic recreated"]


def test_rebuilt_flow_and_cache_are_what_they_were(app: Application) -> None:
    app.send("idle", "97.00", "-98.50")
    app.wait_committed("idle")
    right = app.position("idle")
    app.query("UPDATE speed.idle_position SET batch_value = batch_value + 1;"
              "UPDATE speed.idle_flow SET batch_value = batch_value + 1")  # fmt: skip
    app.ws("rebuild", "flow", "idle")
    assert app.position("idle") == right
    app.ws("rebuild", "cache", "idle")
    app.verify("idle")


def test_a_rebuild_refuses_to_make_sums_from_less_than_was_committed(app: Application) -> None:
    app.send("idle", "5.00", partition=0)
    app.verify("idle")
    right = app.position("idle")
    last = max(
        (r for r in app.rows("idle") if r.kafka_partition == 0), key=attrgetter("kafka_offset")
    )
    with cassandra.connect(app.settings) as session:
        session.execute(
            "DELETE FROM events.idle WHERE generation = %s AND kafka_partition = 0"
            " AND offset_block = 0 AND kafka_offset = %s",
            [last.generation, last.kafka_offset],
        )
    schemas = {"WATERSHED_SCHEMAS_DIR": str(app.settings.schemas_dir)}
    refused = app.stack.ws("rebuild", "flow", "idle", check=False, environment=schemas)
    assert refused.returncode == 1
    assert "the raw store is not what was committed" in refused.stderr
    assert app.position("idle") == right
