"""How fast an enrichment takes transactions from the raw store into the report, in one run.

``./ws bench enrich``: on a stack of its own it lets the stream store a small interval and publishes
it, then stores twenty times as much and publishes that at once, then the small interval again.
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
from benchmarks.rest import rest
from benchmarks.servers import run, servers
from benchmarks.stream import streaming, wait_caught_up, wait_started
from benchmarks.topic import fill
from watershed.cli.shared import AsJson, fail, say
from watershed.contracts.load import load_contract
from watershed.errors import WatershedError
from watershed.settings import Settings
from watershed.stack.home import ROOT, Home
from watershed.stores import postgres
from watershed.timestamps import floored

TOPIC = "transaction"
PORT_OFFSET = 22_000  # its ports lie below those that clients are given
PRODUCERS = 3
HISTORY = 20
"""So many times the small interval's events are stored after it."""

WARM_ROUNDS = 16
"""Of which the first ones compile; the fastest counts. Of six, two series on the same stores
differed by an eighth; of fourteen by 1 %."""


def measure(home: Home, events: int) -> Report:
    """Run everything on a new stack in ``home``, which is deleted at the end."""
    began = datetime.now(UTC)
    say("starting the servers")
    with servers(home):
        settings = home.settings()
        say("taking a snapshot of the reference data")
        run(home, str(ROOT / "jobs" / "refresh_reference.py"))
        first, last = _store(home, settings, events // HISTORY, seed=0)
        _begin_ledger(settings, first)
        alone = _enrich(home, (first, last), WARM_ROUNDS)
        _, end = _store(home, settings, events, seed=PRODUCERS)
        large = _enrich(home, (last, end), 2, "naive")
        return Report(began, alone, _enrich(home, (first, last), WARM_ROUNDS), large)


def _store(home: Home, settings: Settings, events: int, seed: int) -> tuple[datetime, datetime]:
    """Let the stream store so many events; the flow windows that everything arrived in."""
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
            "SELECT min(arrival_min), max(arrival_max) FROM control.stream_batch WHERE stored > 0"
        )
        first, last = cursor.fetchone() or (None, None)
    if first is None or last is None:
        raise WatershedError("the stream has stored nothing", "see its log in the run's home")
    contract = load_contract(settings.schemas_dir / TOPIC / "contract.yaml")
    window_s = contract.flow.window_s
    return floored(first, window_s), floored(last, window_s) + timedelta(seconds=window_s)


def _begin_ledger(settings: Settings, start: datetime) -> None:
    """Let the ledger begin where the small interval does, which is on no grid."""
    with postgres.connect(settings) as connection, postgres.transaction(connection) as cursor:
        cursor.execute(
            "UPDATE control.stream SET final_from = %(start)s, final_until = %(start)s",
            {"start": start},
        )


def _enrich(
    home: Home, interval: tuple[datetime, datetime], rounds: int, naive: str = "alone"
) -> Rounds:
    """Enrich an interval so many times, by ``benchmarks.peers.enrichment``."""
    rest(home.settings())
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
    """Measure the enrichment, from the raw store into the report, in one run.

    Takes about ten minutes on two cores, and wants them to itself.
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
