"""A plain consumer: one process, one row after the other, each acknowledged before the next.

``python -m benchmarks.peers.plain_consumer EVENTS``
"""

from __future__ import annotations

import sys
import time

from benchmarks.peers.consumer import insert, records, row
from benchmarks.peers.table import contract, copy_table
from benchmarks.results import Run
from watershed.settings import load_settings
from watershed.stores import cassandra
from watershed.stores.topics import topic_state


def main(events: str) -> None:
    settings = load_settings()
    table = copy_table(settings, "bench_plain")
    topic = topic_state(settings, contract(settings).topic.name)
    with cassandra.connect(settings) as session:
        statement = session.prepare(insert(settings, table.name))
        started, count = time.monotonic(), 0
        for record in records(settings, topic.name, sorted(topic.end), int(events)):
            count += 1
            values = row(topic.topic_id, record)
            if values is not None:
                session.execute(statement, values)
        print(Run.even(count, time.monotonic() - started).line())


if __name__ == "__main__":
    main(*sys.argv[1:])
