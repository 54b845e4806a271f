"""How fast transactions go from Kafka into the stores, beside other ways to do it, in one run.

``./ws bench ingest``: on a stack of its own it fills a topic, then lets each way take it, one
after the other. The Python consumers go first: they warm Cassandra up for the two that matter.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from benchmarks.latency import latencies
from benchmarks.report import Report, as_dict, show
from benchmarks.results import Run, last_run
from benchmarks.servers import run, servers
from benchmarks.stream import batches, measured, streaming, wait_caught_up, wait_started
from benchmarks.topic import fill
from benchmarks.usage import Usage
from watershed.cli.shared import AsJson, err, fail, say
from watershed.errors import WatershedError
from watershed.settings import Settings
from watershed.stack.home import Home

TOPIC = "transaction"
PORT_OFFSET = 23_000
PRODUCERS = 3
PLAIN_EVENTS, TUNED_EVENTS = 8_000, 240_000
"""What these slow ways take in some fifteen seconds; the rate counts."""

LATENCY_RATE, LATENCY_S = 1_000, 60


def measure(home: Home, events: int) -> Report:
    """Run everything on a new stack in ``home``, which is deleted at the end."""
    report = Report(events)
    say("starting the servers")
    with servers(home):
        settings = home.settings()
        say(f"filling the topic with {events:,} transactions")
        fill(settings, events, PRODUCERS)
        report.runs["tuned"] = peer(home, "tuned_consumer", str(min(events, TUNED_EVENTS)))
        report.runs["plain"] = peer(home, "plain_consumer", str(min(events, PLAIN_EVENTS)))
        report.runs["copy"] = peer(home, "connector_copy")
        _stream(home, settings, report)
        report.runs["classic"] = peer(home, "classic_sums")
    return report


def peer(home: Home, name: str, *arguments: str) -> Run:
    """Run one of ``benchmarks.peers`` in the stack's environment. Raises WatershedError."""
    say(f"measuring {name.replace('_', ' ')}")
    return last_run(run(home, "-m", f"benchmarks.peers.{name}", *arguments))


def _stream(home: Home, settings: Settings, report: Report) -> None:
    """The application takes the whole topic, then, as it runs on, a steady rate."""
    say("measuring the stream")
    launched = time.time()
    with streaming(home) as process:
        started = wait_started(settings, process)
        with Usage(home, process.pid) as usage, Progress(console=err, transient=True) as bar:
            task = bar.add_task("stored", total=report.events)
            wait_caught_up(settings, TOPIC, process, lambda done: bar.update(task, completed=done))
        report.runs["stream"] = measured(batches(settings), started)
        report.startup_s = round(started - launched, 1)
        report.cpu_s, report.memory_mb = usage.cpu_s, usage.memory_mb
        say(f"measuring latency at {LATENCY_RATE:,} events/s for {LATENCY_S} s")
        report.latency = latencies(settings, TOPIC, LATENCY_RATE, LATENCY_S)


def ingest(
    events: Annotated[int, typer.Option(min=1_000, help="Transactions in the topic.")] = 1_000_000,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the run's own stack, deleted at the end.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure Kafka → Cassandra with everything on, beside other ways, in one run.

    Takes five to ten minutes on two cores, and wants them to itself.
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


def own_home() -> Path:
    """A folder that PostgreSQL's user can reach when root measures."""
    base = Path("/var/tmp") if os.geteuid() == 0 else Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108
    return base / f"watershed-bench-{os.getuid()}"


if __name__ == "__main__":
    typer.run(ingest)
