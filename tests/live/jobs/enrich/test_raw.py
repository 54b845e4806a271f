"""The raw store by key: exactly the events of an interval, whatever lies beside them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from tests.support.application import Application, application
from tests.support.spark import arrived
from tests.support.stack import Stack
from watershed.speed import time_index
from watershed.speed.time_index import OffsetRange
from watershed.stores import cassandra, postgres
from watershed.stores.raw import BLOCK

TYPE = "arriving"
START = datetime(2026, 11, 20, 10, tzinfo=UTC)
END = START + timedelta(minutes=5)
Place = tuple[str, int, int]


class Batch(NamedTuple):
    """A committed batch of one Kafka partition: arrivals, in seconds after START, by offset.

    None stands for a quarantined record.
    """

    topic_id: str
    partition: int
    first: int
    arrivals: list[float | None]


BATCHES = [
    # Across the end of a Cassandra partition, in one batch; the interval begins and ends in it.
    Batch("one", 0, BLOCK - 3, [-1, 0, 1, 2, None, 299.999, 300, 301]),
    # Whole Cassandra partitions in between would be the same; here is one that nothing is in.
    Batch("one", 1, 5, [-2, -1]),
    Batch("one", 1, 7, [0, 0]),
    Batch("one", 1, 9, [None, None]),
    Batch("one", 1, 11, [100, 299.999]),
    Batch("one", 1, 13, [300]),
    # All of it lies wholly in the interval, over two Cassandra partitions.
    Batch("one", 2, 2 * BLOCK - 2, [10, 20, 30, 40]),
    # The topic was made anew: the same places hold other events.
    Batch("two", 0, 0, [200, 250]),
    Batch("two", 0, 2, [400]),
]


@pytest.fixture(scope="module")
def app(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Application:
    """Raw rows and the time index, as the stream would have left them."""
    made = application(stack, tmp_path_factory.mktemp("arriving"), TYPE)
    contract = made.contract(TYPE)
    with cassandra.connect(made.settings) as session:
        for place, seconds in _events():
            moment = START + timedelta(seconds=seconds)
            session.execute(
                f"INSERT INTO events.{TYPE} (topic_id, kafka_partition, offset_block,"
                " kafka_offset, kafka_time, arrival_time, transaction_id, event_time, branch,"
                " currency, amount) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'Kazan', 'RUB', %s)",
                [place[0], place[1], place[2] // BLOCK, place[2], moment, moment,
                 UUID(int=place[2]), moment, Decimal("-0.10")],
            )  # fmt: skip
    with postgres.connect(made.settings) as connection, postgres.transaction(connection) as cursor:
        for number, batch in enumerate(BATCHES):
            time_index.add(cursor, contract, batch.topic_id, _range(batch), number)
    return made


@pytest.fixture(scope="module")
def found(app: Application) -> dict[str, Any]:
    """What is read of the interval."""
    return arrived(app.stack, app.settings, TYPE, START, END)


def _events() -> Iterator[tuple[Place, float]]:
    for batch in BATCHES:
        for offset, seconds in enumerate(batch.arrivals, batch.first):
            if seconds is not None:
                yield (batch.topic_id, batch.partition, offset), seconds


def _range(batch: Batch) -> OffsetRange:
    stored = [seconds for seconds in batch.arrivals if seconds is not None]
    times = [START + timedelta(seconds=seconds) for seconds in stored or [50]]
    broken = len(batch.arrivals) - len(stored)
    end = batch.first + len(batch.arrivals)
    return OffsetRange(
        batch.partition, batch.first, end, min(times), max(times), len(stored), broken
    )


def _places(found: dict[str, Any]) -> list[Place]:
    return sorted(
        (row["topic_id"], row["kafka_partition"], row["kafka_offset"]) for row in found["rows"]
    )


def test_events_of_an_interval_and_no_others(app: Application, found: dict[str, Any]) -> None:
    assert _places(found) == sorted(p for p, seconds in _events() if 0 <= seconds < 300)
    assert found["said"] == ""
    assert found["columns"] == [
        "topic_id", "kafka_partition", "kafka_offset", "kafka_time", "arrival_time",
        *app.contract(TYPE).fields, "extra",
    ]  # fmt: skip
    assert {str(row["amount"]) for row in found["rows"]} == {"-0.1"}


def test_cassandra_is_asked_by_key_and_range(found: dict[str, Any]) -> None:
    joins = [line for line in found["plan"].splitlines() if "Cassandra Direct Join" in line]
    assert len(joins) == 4  # one per topic id and Kafka partition
    ranges = [(BLOCK - 3, BLOCK + 5), (7, 13), (2 * BLOCK - 2, 2 * BLOCK + 2), (0, 2)]
    for line, (start, stop) in zip(joins, ranges, strict=True):
        assert f'"kafka_offset" >= ?:{start}' in line, line
        assert f'"kafka_offset" < ?:{stop}' in line, line
    assert "Cassandra Scan" not in found["plan"]


def test_rows_that_are_missing_are_noticed(app: Application) -> None:
    with cassandra.connect(app.settings) as session:
        session.execute(
            f"DELETE FROM events.{TYPE} WHERE topic_id = 'one' AND kafka_partition = 2"
            f" AND offset_block = 2 AND kafka_offset = {2 * BLOCK}"
        )
    said = arrived(app.stack, app.settings, TYPE, START, END)["said"]
    assert "the raw store has 9 events where the time index counts 10" in said
    assert "./ws audit" in said


def test_interval_without_events(app: Application) -> None:
    found = arrived(
        app.stack, app.settings, TYPE, END + timedelta(hours=1), END + timedelta(hours=2)
    )
    assert (found["rows"], found["said"]) == ([], "")


def test_columns_of_another_version_are_left_out(app: Application) -> None:
    with cassandra.connect(app.settings) as session:
        session.execute(f"ALTER TABLE events.{TYPE} ADD note text")
        session.execute(
            f"INSERT INTO events.{TYPE} (topic_id, kafka_partition, offset_block, kafka_offset,"
            " note) VALUES ('two', 0, 0, 0, 'more')"
        )
    found = arrived(app.stack, app.settings, TYPE, START, END)
    assert "note" not in found["columns"]
    assert ("two", 0, 0) in _places(found)
