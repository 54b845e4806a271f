"""The streaming application under measurement: started as ``./ws up`` starts it, read from outside.

Its progress is what PostgreSQL says of it; nothing is built into it for the benchmark.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg2.extensions import connection as Connection

from benchmarks.results import Run
from watershed.errors import WatershedError
from watershed.settings import Settings
from watershed.stack.home import Home
from watershed.stack.processes import spawn
from watershed.stack.services.stream import stream
from watershed.stores import postgres
from watershed.stores.topics import end_offsets

POLL_S = 0.1
STALL_S = 60
STOP_TIMEOUT_S = 60


@dataclass(frozen=True)
class Batch:
    """One commit: its events, and when it was made."""

    events: int
    committed_at: datetime


@contextmanager
def streaming(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """The application's process, ended at the end."""
    service = stream(home)
    service.prepare()
    process = spawn(service, home)
    try:
        yield process
    finally:
        process.send_signal(service.stop_signal)
        process.wait(STOP_TIMEOUT_S)


def wait_started(settings: Settings, process: subprocess.Popen[bytes]) -> float:
    """Wait until the query is about to start; the time then (epoch, s).

    Its offsets' rows are made just before.
    """
    with postgres.connect(settings) as connection:
        _wait(process, lambda: bool(_next_offsets(connection)), lambda: 0)
    return time.time()


def wait_caught_up(
    settings: Settings, topic: str, process: subprocess.Popen[bytes], tell: Callable[[int], None]
) -> None:
    """Wait until all that the topic has now is committed; ``tell`` gets the events so far."""
    end = end_offsets(settings, topic)

    with postgres.connect(settings) as connection:

        def committed() -> int:
            return sum(_next_offsets(connection).values())

        def caught_up() -> bool:
            tell(committed())
            return _next_offsets(connection) == end

        _wait(process, caught_up, committed)


def _wait(
    process: subprocess.Popen[bytes], holds: Callable[[], bool], progress: Callable[[], int]
) -> None:
    last, moved = -1, time.monotonic()
    while not holds():
        if (now := progress()) != last:
            last, moved = now, time.monotonic()
        if process.poll() is not None or time.monotonic() - moved > STALL_S:
            raise WatershedError("the stream does not move on", "see its log in the run's home")
        time.sleep(POLL_S)


def _next_offsets(connection: Connection) -> dict[int, int]:
    cursor = connection.cursor()
    cursor.execute("SELECT kafka_partition, next_offset FROM control.stream_offset")
    found = dict(cursor.fetchall())
    connection.rollback()
    return found


def batches(settings: Settings) -> list[Batch]:
    """Every commit so far, in order."""
    with postgres.connect(settings) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT sum(stored + quarantined)::bigint, max(committed_at)"
            " FROM control.stream_batch GROUP BY sequence ORDER BY sequence"
        )
        return [Batch(*row) for row in cursor.fetchall()]


def measured(found: list[Batch], started: float) -> Run:
    """From the start of the query (epoch, s) to the last commit."""
    return Run.of(started, [(one.events, one.committed_at.timestamp()) for one in found])
