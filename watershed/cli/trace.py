"""``trace``: one event in every store."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.progress import Progress
from rich.text import Text

from watershed.cli.shared import (
    IMPOSSIBLE,
    AsJson,
    Deployment,
    Since,
    cannot,
    contracts_of,
    err,
    moment,
    out,
    print_columns,
    settings_of,
)
from watershed.cli.values import clock, for_json, safe
from watershed.operations.trace import CriticalRow, Occurrence, Searched, Stored, Trace
from watershed.operations.trace import trace as look_for
from watershed.speed.flow import Sum


def trace(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="Kafka's key of a record.")],
    home: Deployment = None,
    since: Since = "1d",
    event_type: Annotated[
        str | None, typer.Option("--type", help="Look in one contract only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Where one event is: Kafka, raw store, sums, cache, quarantine; with its times.

    Exits with 0 when it was found, with 1 when not, with 2 when that could not be looked up.
    """
    now = datetime.now(UTC)
    begin = moment(since, now) or now
    try:
        settings = settings_of(home)
        contracts = contracts_of(settings, event_type).values()
        with _progress() as watch:
            found = look_for(settings, contracts, event_id, begin, watch)
    except IMPOSSIBLE as error:
        cannot("trace", error)
    if as_json:
        print(json.dumps(for_json(found), indent=2))
    else:
        _print(found)
    sys.exit(0 if found.occurrences else 1)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("looks through", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print(found: Trace) -> None:
    for occurrence in found.occurrences:
        _print_occurrence(occurrence)
    if not found.occurrences:
        out.print(Text.assemble("found no ", safe(found.event_id)))
        for event_type, what in found.searched.items():
            out.print(f"  {event_type}: {_searched(what)}", highlight=False, soft_wrap=True)
        out.print("--since 30d looks further back", highlight=False)


def _searched(what: Searched) -> str:
    waiting = f"; {what.not_stored_yet:,} in Kafka are not stored yet"
    if what.arrived_from is None or what.arrived_to is None:
        return f"nothing arrived in that time{waiting}"
    return (
        f"looked through what arrived from {clock(what.arrived_from)} to"
        f" {clock(what.arrived_to)} UTC{waiting}"
    )


def _print_occurrence(one: Occurrence) -> None:
    kept = "Kafka has it" if one.in_kafka else "Kafka no longer has it"
    out.print(Text.assemble((str(one.record), "bold"), f"  {kept}"))
    print_columns([*_timeline(one), *_rows(one)])
    out.print()


def _timeline(one: Occurrence) -> Iterator[tuple[str, str]]:
    yield "kafka time", f"{clock(one.kafka_time)} UTC"
    yield "arrival", _later(one.arrival_time, one.kafka_time)
    if one.commit:
        yield "committed", _later(one.commit.committed_at, one.arrival_time)
    else:
        yield "committed", "not yet, or so long ago that the time index forgot it"


def _later(time: datetime, before: datetime) -> str:
    return f"{clock(time)} UTC  {(time - before).total_seconds():+.3f} s"


def _rows(one: Occurrence) -> Iterator[tuple[str, str | Text]]:
    if one.commit:
        version = f"contract version {one.commit.contract_version}"
        yield "commit", f"{one.commit.sequence:,}, {version}"
    if one.stored:
        yield from _stored(one.stored)
    if one.rejected:
        yield "quarantine", safe(f"{one.rejected.reason}: {one.rejected.detail}")
    if one.replay:
        yield "replayed", f"to {one.replay.to}" if one.replay.to else "perhaps: replay it again"


def _stored(stored: Stored) -> Iterator[tuple[str, str | Text]]:
    yield "raw row", f"written with the time {clock(stored.written_at)} UTC"
    for name, value in stored.fields.items():
        yield f"  {name}", safe(clock(value) if isinstance(value, datetime) else value)
    yield "counted in", _counted_in(stored.counted_in)
    yield "critical", _critical(stored.critical)


def _counted_in(found: Sum | None) -> str | Text:
    if found is None:
        return "no sum"
    groups = " ".join(map(str, found.groups))
    return safe(f"{clock(found.window)} UTC {groups}: {found.value}, events: {found.events:,}")


def _critical(critical: CriticalRow | None) -> str | Text:
    if critical is None:
        return "no"
    row = f"yes: {critical.entity}, bucket {clock(critical.bucket)} UTC"
    if critical.cached is None:
        return safe(f"{row}; the cache is away")
    listed = "in the list" if critical.cached.listed else "no longer in the list"
    return safe(f"{row}; {listed} of the cache, which has commit {critical.cached.sequence:,}")
