"""Arrival times and watermarks; clocks that are refused until somebody decides."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from tests.support.application import Application
from tests.support.stack import wait_until
from watershed.stores.topics import admin


def known_watermark(app: Application, event_type: str) -> datetime:
    """The contract's, once each partition has one."""
    wait_until(lambda: app.watermark(event_type) is not None, "each partition has a watermark")
    found = app.watermark(event_type)
    assert found is not None
    return found


def test_watermarks_of_idle_partitions_and_topics_move_on(app: Application) -> None:
    app.send("idle", "1.00", partition=0)
    app.verify("idle")
    first = known_watermark(app, "idle")
    wait_until(lambda: (app.watermark("idle") or first) > first, "the watermark moves on")
    now = app.watermark("idle")
    assert now is not None
    assert now < datetime.now(UTC)


def test_a_partition_added_while_running_inherits_the_watermark(app: Application) -> None:
    app.send("idle", "2.00", partition=1)
    app.wait_committed("idle")
    before = known_watermark(app, "idle")
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
