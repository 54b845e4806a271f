"""How long an event takes from Kafka to Redis and to the flow, seen by polling both.

It begins with the broker's append time, which is before the acknowledgement, and ends when a poll
has shown it: so what is measured is never too short. All on one clock.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results import percentile
from benchmarks.topic import ack_log, finish, producer
from watershed.errors import WatershedError
from watershed.settings import Settings
from watershed.speed import cache
from watershed.stores import postgres, redis

POLL_S = 0.01
IN_FLIGHT_S = 10
"""After the last event, until all are seen; the stream has long committed them."""

WARM_S = 20
"""What is left out at the start: the code is compiled, the stream's pace found."""

Steps = list[tuple[int, float]]
"""From each time (epoch, s) on, everything below a number was visible: both only grow."""


@dataclass
class Watch:
    """Notes when offsets become visible in PostgreSQL and commits in Redis, while it runs."""

    settings: Settings
    event_type: str
    offsets: dict[int, Steps] = field(default_factory=lambda: defaultdict(list))
    cached: Steps = field(default_factory=list)
    ranges: dict[int, Steps] = field(default_factory=lambda: defaultdict(list))

    def run(self, stop: threading.Event) -> None:
        """Poll until ``stop``; then read which commit brought which offsets."""
        with (
            postgres.connect(self.settings) as connection,
            redis.connect(self.settings) as client,
        ):
            connection.autocommit = True
            cursor = connection.cursor()
            while not stop.wait(POLL_S):
                cursor.execute("SELECT kafka_partition, next_offset FROM control.stream_offset")
                for partition, end in cursor.fetchall():
                    _note(self.offsets[partition], end)
                _note(self.cached, cache.cached_sequence(client, self.event_type) + 1)
            cursor.execute(
                "SELECT kafka_partition, to_offset, sequence FROM control.stream_batch"
                " ORDER BY kafka_partition, to_offset"
            )
            for partition, end, sequence in cursor.fetchall():
                self.ranges[partition].append((end, sequence))

    def in_flow(self, partition: int, offset: int) -> float:
        """When a record's sums were visible in PostgreSQL (epoch, s)."""
        return after(self.offsets[partition], offset)

    def in_redis(self, partition: int, offset: int) -> float:
        """When the commit that has a record was whole in Redis (epoch, s)."""
        return after(self.cached, int(after(self.ranges[partition], offset)))


def _note(steps: Steps, end: int) -> None:
    if not steps or end > steps[-1][0]:
        steps.append((end, time.time()))


def after(steps: Steps, number: int) -> float:
    """What belongs to the first step beyond ``number``. Raises WatershedError if there is none."""
    found = bisect_right(steps, number, key=lambda step: step[0])
    if found == len(steps):
        raise WatershedError(f"record {number} was never seen", "the stream is behind: see its log")
    return steps[found][1]


def latencies(settings: Settings, event_type: str, rate: int, seconds: int) -> dict[str, float]:
    """Percentiles, in seconds, at ``rate`` events/s over ``seconds``; the stream must run."""
    watch, stop = Watch(settings, event_type), threading.Event()
    thread = threading.Thread(target=watch.run, args=[stop])
    thread.start()
    try:
        count = rate * (WARM_S + seconds)
        log = ack_log(settings)
        started = time.time()
        finish(
            producer(settings, "--rate", str(rate), "--count", str(count), "--ack-log", str(log))
        )
        time.sleep(IN_FLIGHT_S)
    finally:
        stop.set()
        thread.join()
    return summary(acknowledged(log, started + WARM_S), watch)


def acknowledged(log: Path, since: float) -> list[tuple[int, int, float]]:
    """Partition, offset and append time (epoch, s) of the records appended since then."""
    lines = map(json.loads, log.read_text().splitlines())
    found = [(line["partition"], line["offset"], line["timestamp"] / 1000) for line in lines]
    return [one for one in found if one[2] >= since]


def summary(records: list[tuple[int, int, float]], watch: Watch) -> dict[str, float]:
    """p50, p99 and the largest, to Redis and to the flow."""
    to_redis = [watch.in_redis(p, offset) - appended for p, offset, appended in records]
    to_flow = [watch.in_flow(p, offset) - appended for p, offset, appended in records]
    found = {"events": float(len(records))}
    for name, values in (("redis", to_redis), ("flow", to_flow)):
        for label, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            found[f"{name}_{label}_s"] = round(percentile(values, share), 3)
    return found
