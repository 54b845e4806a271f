"""A tuned consumer: a process per Kafka partition, full single-partition batches, many at once.

The batches are as large and as many at a time as the connector's; a new one waits for room.
``python -m benchmarks.peers.tuned_consumer EVENTS``
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import groupby
from multiprocessing import get_context
from operator import itemgetter
from threading import BoundedSemaphore
from typing import Any

from cassandra.cluster import Session
from cassandra.query import BatchStatement, BatchType, PreparedStatement

from benchmarks.peers.consumer import COLUMNS, insert, records, row
from benchmarks.peers.table import contract, copy_table
from benchmarks.results import Run
from watershed.settings import Settings, load_settings
from watershed.stores import cassandra
from watershed.stores.topics import TopicState, topic_state

BATCH_ROWS = 300
"""As many rows as the connector puts into 32 KiB: a row binds some 110 bytes."""
CONCURRENT = 8
KEY = itemgetter(*map(COLUMNS.index, ("topic_id", "kafka_partition", "offset_block")))
TABLE = "bench_tuned"


class Writer:
    """Sends batches without waiting for each, at most ``CONCURRENT`` at a time."""

    def __init__(self, session: Session, statement: PreparedStatement) -> None:
        self._session, self._statement = session, statement
        self._room = BoundedSemaphore(CONCURRENT)
        self._errors: list[Exception] = []

    def write(self, rows: list[Any]) -> None:
        """Send rows of one Cassandra partition; waits while there is no room."""
        batch = BatchStatement(BatchType.UNLOGGED)
        for values in rows:
            batch.add(self._statement, values)
        self._room.acquire()
        future = self._session.execute_async(batch)
        future.add_callbacks(self._done, self._failed)

    def finish(self) -> None:
        """Wait for every answer; raises the first error."""
        for _ in range(CONCURRENT):
            self._room.acquire()
        if self._errors:
            raise self._errors[0]

    def _done(self, _rows: Any) -> None:
        self._room.release()

    def _failed(self, error: Exception) -> None:
        self._errors.append(error)
        self._room.release()


def batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    """Up to ``BATCH_ROWS`` rows of one Cassandra partition at a time."""
    for _, group in groupby(rows, KEY):
        chunk: list[Any] = []
        for values in group:
            chunk.append(values)
            if len(chunk) == BATCH_ROWS:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def consume(settings: Settings, topic: TopicState, partition: int, limit: int) -> tuple[int, float]:
    """One process's work: its records, and when it began (monotonic, s), signed in."""
    with cassandra.connect(settings) as session:
        writer = Writer(session, session.prepare(insert(settings, TABLE)))
        started, count = time.monotonic(), 0

        def rows() -> Iterator[Any]:
            nonlocal count
            for record in records(settings, topic.name, [partition], limit):
                count += 1
                if (values := row(topic.topic_id, record)) is not None:
                    yield values

        for batch in batches(rows()):
            writer.write(batch)
        writer.finish()
    return count, started


def main(events: str) -> None:
    settings = load_settings()
    copy_table(settings, TABLE)
    topic = topic_state(settings, contract(settings).topic.name)
    limit = int(events) // len(topic.end)
    work = [(settings, topic, partition, limit) for partition in topic.end]
    with get_context("spawn").Pool(len(work)) as pool:
        done = pool.starmap(consume, work, chunksize=1)
        ended = time.monotonic()
    events_done = sum(count for count, _ in done)
    print(Run.even(events_done, ended - min(started for _, started in done)).line())


if __name__ == "__main__":
    main(*sys.argv[1:])
