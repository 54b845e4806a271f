"""How fast an enrichment takes transactions from the raw store into staging, in one run.

``./ws bench enrich``: on a stack of its own it lets the stream store a small interval and enriches
it, then stores twenty times as much and enriches the same interval again, then everything at once.
"""

from __future__ import annotations

import json
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.enrich_report import Report, Rounds, as_dict, show
from benchmarks.ingest import own_home
from benchmarks.servers import run, servers
from benchmarks.stream import streaming, wait_caught_up, wait_started
from benchmarks.topic import fill
from watershed.cli.shared import AsJson, fail, say
from watershed.errors import WatershedError
from watershed.settings import Settings
from watershed.stack.home import ROOT, Home
from watershed.stores import postgres

TOPIC = "transaction"
PORT_OFFSET = 22_000  # its ports lie below those that clients are given
PRODUCERS = 3
HISTORY = 20
"""So many times the small interval's events are stored at the end."""

WARM_ROUNDS = 6
"""Of which the first ones compile; the fastest counts."""


def measure(home: Home, events: int) -> Report:
    """Run everything on a new stack in ``home``, which is deleted at the end."""
    began = datetime.now(UTC)
    say("starting the servers")
    with servers(home):
        settings = home.settings()
        say("taking a snapshot of the reference data")
        run(home, str(ROOT / "jobs" / "refresh_reference.py"))
        small = _store(home, settings, events // HISTORY, seed=0)
        alone = _enrich(home, small, WARM_ROUNDS)
        everything = _store(home, settings, events - events // HISTORY, seed=PRODUCERS)
        among = _enrich(home, small, WARM_ROUNDS)
        return Report(began, alone, among, _enrich(home, everything, 2, "naive"))


def _store(home: Home, settings: Settings, events: int, seed: int) -> tuple[datetime, datetime]:
    """Let the stream store so many events; the interval that everything arrived in."""
    say(f"storing {events:,} transactions")
    fill(settings, events, PRODUCERS, seed)
    with streaming(home) as process:
        wait_started(settings, process)
        wait_caught_up(settings, TOPIC, process, lambda _done: None)
    return _arrivals(settings)


def _arrivals(settings: Settings) -> tuple[datetime, datetime]:
    with postgres.connect(settings) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT date_trunc('second', min(arrival_min)),"
            " date_trunc('second', max(arrival_max)) FROM control.stream_batch"
        )
        first, last = cursor.fetchone() or (None, None)
    if first is None or last is None:
        raise WatershedError("the stream has stored nothing", "see its log in the run's home")
    return first, last + timedelta(seconds=1)


def _enrich(
    home: Home, interval: tuple[datetime, datetime], rounds: int, naive: str = "alone"
) -> Rounds:
    """Enrich an interval so many times, by ``benchmarks.peers.enrichment``."""
    say(f"enriching {interval[0]:%H:%M:%S} to {interval[1]:%H:%M:%S}, {rounds} times")
    times = [moment.isoformat() for moment in interval]
    printed = run(home, "-m", "benchmarks.peers.enrichment", *times, str(rounds), naive)
    found: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return Rounds(**found)


def enrich(
    events: Annotated[int, typer.Option(min=20_000, help="Transactions stored.")] = 1_000_000,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the run's own stack, deleted at the end.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the enrichment, from the raw store into staging, in one run.

    Takes about five minutes on two cores, and wants them to itself.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the stack is not left behind
    try:
        report = measure(Home.open(home or own_home(), PORT_OFFSET), events)
    except WatershedError as error:
        fail(error)
    if as_json:
        print(json.dumps(as_dict(report), indent=2))
    else:
        show(report)


if __name__ == "__main__":
    typer.run(enrich)
