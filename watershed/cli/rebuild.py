"""``rebuild``: views made again from what is immutable."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import typer
from rich.progress import Progress

from watershed.cli.shared import (
    AsJson,
    Deployment,
    EventType,
    contract_of,
    err,
    local_stack,
    or_cannot,
    out,
)
from watershed.operations import rebuild_cache, rebuild_flow, rebuild_report
from watershed.operations.rebuild_report import Load
from watershed.settings import Settings
from watershed.stack.enrich_job import enrich_here, enrich_in

app = typer.Typer(no_args_is_help=True, help="Make a view again from the raw events.")


@app.command()
def flow(event_type: EventType, home: Deployment = None, as_json: AsJson = False) -> None:
    """Make the two-second sums and the positions again from the raw store.

    The stream may run. After PostgreSQL was restored from an older copy, this also takes over
    from the raw store what Kafka no longer has.
    """
    settings, contract = contract_of(home, event_type)
    with (
        or_cannot("rebuild"),
        Progress(console=err, transient=True, disable=not err.is_terminal) as progress,
    ):
        task = progress.add_task(event_type, total=None)
        rebuilt = rebuild_flow.rebuild_flow(
            settings,
            contract,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(rebuilt), indent=2, default=str))
        return
    for partition, (first, last) in rebuilt.adopted.items():
        out.print(f"partition {partition}: [{first}, {last}) taken from the raw store")
    since = rebuilt.since
    begin = f"from {since:%Y-%m-%d %H:%M} on" if since else "from the first event"
    out.print(f"{rebuilt.sums:,} sums of {event_type} made again, {begin}")


@app.command()
def report(event_type: EventType, home: Deployment = None, as_json: AsJson = False) -> None:
    """Make all published intervals again from raw events, with today's query and reference data.

    The stream and Airflow may run. It may be stopped: run again, it goes on where it was. What is
    published stays right at every moment.
    """
    settings, contract = contract_of(home, event_type)
    with (
        or_cannot("rebuild"),
        Progress(console=err, transient=True, disable=not err.is_terminal) as progress,
    ):
        task = progress.add_task(event_type, total=None)
        rebuilt = rebuild_report.rebuild_report(
            settings,
            contract,
            _job(home, settings),
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(rebuilt), indent=2))
        return
    left_out = f"; {rebuilt.left_out:,} skipped or expired ones stay" if rebuilt.left_out else ""
    out.print(
        f"{rebuilt.intervals:,} intervals of {event_type} made again: {rebuilt.rows:,} rows,"
        f" {rebuilt.duplicates:,} duplicates{left_out}"
    )


def _job(home: Path | None, settings: Settings) -> Load:
    """How an attempt is loaded: with the local stack's settings, or with this process's."""
    stack = local_stack(home)
    return partial(enrich_in, stack) if stack else partial(enrich_here, settings)


@app.command()
def cache(event_type: EventType, home: Deployment = None, as_json: AsJson = False) -> None:
    """Empty the cache and make it again from Cassandra and PostgreSQL."""
    with or_cannot("rebuild"):
        sequence = rebuild_cache.rebuild_cache(*contract_of(home, event_type))
    if as_json:
        print(json.dumps({"sequence": sequence}))
    else:
        out.print(f"cache of {event_type} made again, as of commit {sequence:,}")
