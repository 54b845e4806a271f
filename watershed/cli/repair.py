"""``repair`` and ``rebuild``: what an operator decides, and views made again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import psycopg2
import typer
from rich.progress import Progress
from rich.prompt import Confirm

from watershed.batch import intervals
from watershed.cli.shared import AsJson, HomePath, cannot, err, moment, out, say
from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.errors import IntervalError, SettingsError
from watershed.operations import rebuild_flow, rebuild_report, repair
from watershed.operations.repair import Repair
from watershed.settings import Settings
from watershed.stack.enriching import enrich
from watershed.stack.home import Home
from watershed.stores import postgres
from watershed.stores.unavailable import UNAVAILABLE

EventType = Annotated[str, typer.Argument(metavar="TYPE", help="An event type: transaction.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Plan = Callable[[Settings, Contract], Repair]
Apply = Callable[[Settings, Contract, Repair], None]

AWAY: tuple[type[Exception], ...] = (psycopg2.Error, *UNAVAILABLE)

app = typer.Typer(
    no_args_is_help=True,
    help="Decide what the stream must not decide: how to go on when it refuses to."
    " ./ws status shows the refusal and names the command.",
)
rebuild_app = typer.Typer(no_args_is_help=True, help="Make a view again from the raw events.")


@app.command()
def expired(event_type: EventType, home: HomePath, yes: Yes = False) -> None:
    """Give up records that Kafka dropped before they were stored. They are lost."""
    _decide(home, event_type, repair.expired, repair.give_up, yes)


@app.command()
def topic(event_type: EventType, home: HomePath, yes: Yes = False) -> None:
    """Go on with a topic that was deleted and made again, from its beginning.

    A topic that ends before what is stored (Kafka was restored from an older copy) is deleted and
    made again first.
    """
    _decide(home, event_type, repair.new_topic, repair.adopt_topic, yes)


@app.command()
def clock(event_type: EventType, home: HomePath, yes: Yes = False) -> None:
    """Let records that Kafka stamped with a time in the future arrive now.

    Correct the clock first: records that come after this are judged anew.
    """
    _decide(home, event_type, repair.wrong_clock, repair.ignore_clock, yes)


@app.command()
def holes(event_type: EventType, home: HomePath, yes: Yes = False) -> None:
    """Skip offsets that have no record: markers of transactions, or what compaction removed."""
    _decide(home, event_type, repair.no_records, repair.allow_holes, yes)


@rebuild_app.command()
def flow(event_type: EventType, home: HomePath, as_json: AsJson = False) -> None:
    """Make the two-second sums and the positions again from the raw store.

    The stream may run. After PostgreSQL was restored from an older copy, this also takes over
    from the raw store what Kafka no longer has.
    """
    settings, contract = _of(home, event_type)
    with (
        _or_cannot("rebuild"),
        Progress(console=err, transient=True, disable=not err.is_terminal) as progress,
    ):
        task = progress.add_task(event_type, total=None)
        found = rebuild_flow.rebuild_flow(
            settings,
            contract,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=2, default=str))
        return
    for partition, (begin, end) in found.taken.items():
        out.print(f"partition {partition}: [{begin}, {end}) taken from the raw store")
    begin_text = f"from {found.since:%Y-%m-%d %H:%M} on" if found.since else "from the first event"
    out.print(f"{found.sums:,} sums of {event_type} made again, {begin_text}")


@rebuild_app.command()
def report(event_type: EventType, home: HomePath, as_json: AsJson = False) -> None:
    """Make all settled intervals again from raw events, with today's query and reference data.

    The stream and Airflow may run. It may be stopped: run again, it goes on where it was. What is
    published stays right at every moment.
    """
    stack = Home.open(home)
    settings, contract = _of(home, event_type)
    with (
        _or_cannot("rebuild"),
        Progress(console=err, transient=True, disable=not err.is_terminal) as progress,
    ):
        task = progress.add_task(event_type, total=None)
        found = rebuild_report.rebuild_report(
            settings,
            contract,
            partial(enrich, stack),
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=2))
        return
    left_out = f"; {found.left_out:,} skipped or expired ones stay" if found.left_out else ""
    out.print(
        f"{found.intervals:,} intervals of {event_type} made again: {found.rows:,} rows,"
        f" {found.duplicates:,} duplicates{left_out}"
    )


def skip_interval(
    event_type: EventType,
    start: Annotated[str, typer.Argument(help="Where it begins: 2026-01-31T12:00Z.")],
    home: HomePath,
    yes: Yes = False,
) -> None:
    """Go past the next interval, which cannot be settled, so that those after it can.

    Its sums stay those of the flow; a back-fill may settle it later.
    """
    settings, contract = _of(home, event_type)
    with _or_cannot("skip"), postgres.connect(settings) as connection:
        interval = rebuild_report.next_interval(connection, contract, settings.batch_interval_s)
        if moment(start, datetime.now(UTC)) != interval.start:
            raise IntervalError(
                f"the next interval of {event_type} is {interval}", "name its start, or none"
            )
        say(f"goes past {interval}: its events will not be in report.{event_type}")
        if not yes and not Confirm.ask("Do it?", console=err):
            raise typer.Abort
        intervals.skip(connection, contract, interval)
    say("done, and noted in control.operator_log; the next run goes on from there")


@rebuild_app.command()
def cache(event_type: EventType, home: HomePath, as_json: AsJson = False) -> None:
    """Empty the cache and make it again from Cassandra and PostgreSQL."""
    with _or_cannot("rebuild"):
        sequence = rebuild_flow.rebuild_cache(*_of(home, event_type))
    if as_json:
        print(json.dumps({"sequence": sequence}))
    else:
        out.print(f"cache of {event_type} made again, as of commit {sequence:,}")


def _decide(home: HomePath, event_type: str, plan: Plan, apply: Apply, yes: bool) -> None:
    settings, contract = _of(home, event_type)
    with _or_cannot("repair"):
        found = plan(settings, contract)
    ranges = "\n".join(
        f"  partition {partition}: [{begin}, {end}), {end - begin:,} records"
        for partition, (begin, end) in found.ranges.items()
    )
    say(f"./ws {found.command} {found.does}\n{ranges}")
    if not yes and not Confirm.ask("Do it?", console=err):
        raise typer.Abort
    with _or_cannot("repair"):
        apply(settings, contract, found)
    say("done, and noted in control.operator_log; the stream goes on within seconds")


@contextmanager
def _or_cannot(do: str) -> Iterator[None]:
    """Exit with 2 when a server is away; a refusal goes on, and ends with 1."""
    try:
        yield
    except AWAY as error:
        cannot(do, error)


def _of(home: HomePath, event_type: str) -> tuple[Settings, Contract]:
    settings = Home.open(home).settings()
    contracts = load_contracts(settings.schemas_dir, settings.topics)
    if event_type not in contracts:
        raise SettingsError(f"no event type {event_type}", f"there are: {', '.join(contracts)}")
    return settings, contracts[event_type]
