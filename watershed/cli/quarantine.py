"""``quarantine list``, ``show``, ``replay``: what was rejected and why, and to repair it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated

import typer
from rich.text import Text

from watershed.cli.shared import (
    IMPOSSIBLE,
    AsJson,
    Deployment,
    Since,
    cannot,
    contracts_of,
    fail,
    moment,
    out,
    print_columns,
    say,
    settings_of,
)
from watershed.cli.values import clock, for_json, from_bytes, safe
from watershed.contracts.model import Contract
from watershed.contracts.reasons import Reason
from watershed.errors import ReplayError
from watershed.operations.quarantine import ListedRecord, Listing, ShownRecord, listing, shown
from watershed.operations.replay import Replayed
from watershed.operations.replay import replay as send_again
from watershed.operations.replay_range import Outcome, replay_range
from watershed.settings import Settings
from watershed.stores.record_id import RecordId
from watershed.stores.replays import Replay

app = typer.Typer(no_args_is_help=True, help="What was rejected, and why; and to repair it.")


def _record_id(text: str) -> RecordId:
    try:
        return RecordId.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


RecordArgument = Annotated[
    RecordId,
    typer.Argument(
        metavar="RECORD", parser=_record_id, help="As list writes it: transaction/0/1234."
    ),
]


@app.command("list")
def list_(
    home: Deployment = None,
    event_type: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="One contract only.")
    ] = None,
    since: Since = None,
    reason: Annotated[Reason | None, typer.Option(help="Only records with this reason.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="The newest so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest records in quarantine, and how many there are by reason.

    Exits with 0, also when there are none; with 2 when it cannot look.
    """
    now = datetime.now(UTC)
    try:
        settings = settings_of(home)
        contracts = contracts_of(settings, event_type).values()
        found = listing(settings, contracts, moment(since, now), reason, limit, now)
    except IMPOSSIBLE as error:
        cannot("look into the quarantine", error)
    if as_json:
        print(json.dumps(for_json(found), indent=2))
    else:
        _print_listing(found)


def _print_listing(found: Listing) -> None:
    if not found.counts:
        out.print(f"nothing in quarantine that arrived since {clock(found.since)} UTC")
        return
    if found.records:
        print_columns([("record", "kafka time (UTC)", "reason", "replayed to", "detail"),
                       *map(_columns, found.records)])  # fmt: skip
    total = sum(found.counts.values())
    more = "" if found.whole else f", the newest of more than {total:,}"
    out.print(f"\n{total:,} since {clock(found.since)} UTC{more}:", highlight=False)
    print_columns((f"{count:>9,}", safe(reason)) for reason, count in found.counts.items())


def _columns(listed: ListedRecord) -> tuple[str | Text, ...]:
    rejected = listed.rejected
    return (
        str(listed.record),
        clock(rejected.kafka_time),
        safe(rejected.reason),
        _replayed_to(listed.replay),
        safe(rejected.detail),
    )


def _replayed_to(replay: Replay | None) -> str:
    if replay is None:
        return "–"
    return str(replay.to) if replay.to else "perhaps: replay it again"


@app.command()
def show(
    record: RecordArgument,
    home: Deployment = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the value's bytes, unchanged, for a file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One quarantined record whole.

    Exits with 1 when there is none, with 2 when it cannot look.
    """
    try:
        settings = settings_of(home)
        contracts_of(settings, record.type)
        found = shown(settings, record)
    except ReplayError as error:
        fail(error)
    except IMPOSSIBLE as error:
        cannot("look into the quarantine", error)
    if raw:
        _write_raw(found)
    elif as_json:
        print(json.dumps(for_json(found), indent=2))
    else:
        print_columns(_rows(found))


def _write_raw(found: ShownRecord) -> None:
    if found.content.value is None:
        fail(f"{found.record} has no value: the record is a tombstone")
    sys.stdout.buffer.write(found.content.value)
    sys.stdout.buffer.flush()


def _rows(found: ShownRecord) -> Iterator[tuple[str, str | Text]]:
    rejected, commit = found.content.rejected, found.commit
    yield "record", str(found.record)
    yield "kafka time", f"{clock(rejected.kafka_time)} UTC"
    yield "arrival", f"{clock(rejected.arrival_time)} UTC"
    if commit:
        version = f"contract version {commit.contract_version}"
        yield "commit", f"{commit.sequence:,} at {clock(commit.committed_at)} UTC, {version}"
    yield "reason", safe(rejected.reason)
    yield "detail", safe(rejected.detail)
    yield "replay", _replay_line(found.replay)
    yield "key", from_bytes(found.content.key)
    yield "value", from_bytes(found.content.value)


def _replay_line(replay: Replay | None) -> str:
    if replay is None:
        return "none"
    how = f"{replay.operator} at {clock(replay.at)} UTC"
    return f"to {replay.to}, by {how}" if replay.to else f"did not end: begun by {how}"


@app.command()
def replay(
    record: RecordArgument,
    home: Deployment = None,
    value: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(help="The repaired event; - reads it from the standard input."),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(min=0, help="All that is in quarantine up to this offset, as it was."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Noted in control.operator_log.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send a quarantined record, or those of a range, through Kafka again, once and never twice.

    Without --value it goes as it was, if the contract of today accepts it. Exits with 0 when it
    is in Kafka, with 1 when it is refused, with 2 when that could not be found out: run it again.
    """
    if value is not None and last is not None:
        raise typer.BadParameter("--value repairs one record: leave --last out")
    repaired = None if value is None else value.read()
    try:
        settings = settings_of(home)
        contract = contracts_of(settings, record.type)[record.type]
        if last is not None:
            _replay_range(settings, contract, record, last, reason, as_json)
            return
        done = send_again(settings, contract, record, repaired, _wait, reason)
    except ReplayError as error:
        fail(error)
    except IMPOSSIBLE as error:
        cannot(f"replay {record}", error)
    if as_json:
        print(json.dumps(for_json(done), indent=2))
    else:
        _print_done(done, repaired)


def _replay_range(
    settings: Settings, contract: Contract, first: RecordId, last: int, reason: str, as_json: bool
) -> None:
    """Replay a range, told as it goes on; exits with 1 if a record was refused."""
    outcomes = []
    for outcome in replay_range(settings, contract, first, last, reason, _wait):
        outcomes.append(outcome)
        if not as_json:
            out.print(_outcome_line(outcome), soft_wrap=True)
    if as_json:
        print(json.dumps(for_json(outcomes), indent=2))
    sys.exit(0 if all(outcome.to for outcome in outcomes) else 1)


def _outcome_line(outcome: Outcome) -> Text:
    record, to, why = outcome.record, outcome.to, outcome.why
    if to is None:
        return Text.assemble(f"{record} stays: ", safe(why))
    return Text(f"{record} is at {to}" + (f" ({why})" if why else ""))


def _wait(seconds: float, why: str) -> None:
    say(f"waits {seconds:.0f} s: {why}")
    time.sleep(seconds)  # until Kafka must have it, if it ever will: nothing tells before


def _print_done(done: Replayed, repaired: bytes | None) -> None:
    if not done.found:
        out.print(f"{done.record} was sent to {done.to}", highlight=False)
        return
    out.print(
        f"{done.record} had been sent to {done.to} by a try that did not end; nothing was sent now",
        highlight=False,
        soft_wrap=True,
    )
    if repaired is not None and sha256(repaired).hexdigest() != done.value_sha256:
        say("what was sent then is not the value named now")
