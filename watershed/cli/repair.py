"""``repair``: what an operator decides when the stream refuses to go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer
from rich.prompt import Confirm

from watershed.cli.shared import Deployment, EventType, Yes, contract_of, err, or_cannot, say
from watershed.contracts.model import Contract
from watershed.operations import repair
from watershed.operations.repair import Repair
from watershed.settings import Settings

Plan = Callable[[Settings, Contract], Repair]
Apply = Callable[[Settings, Contract, Repair], None]

app = typer.Typer(
    no_args_is_help=True,
    help="Decide what the stream must not decide: how to go on when it refuses to."
    " ./ws status shows the refusal and names the command.",
)


@app.command()
def expired(event_type: EventType, home: Deployment = None, yes: Yes = False) -> None:
    """Give up records that Kafka dropped before they were stored. They are lost."""
    _decide(home, event_type, repair.expired, repair.give_up, yes)


@app.command()
def topic(event_type: EventType, home: Deployment = None, yes: Yes = False) -> None:
    """Go on with a topic that was deleted and made again, from its beginning.

    A topic that ends before what is stored (Kafka was restored from an older copy) is deleted and
    made again first.
    """
    _decide(home, event_type, repair.new_topic, repair.adopt_topic, yes)


@app.command()
def clock(event_type: EventType, home: Deployment = None, yes: Yes = False) -> None:
    """Let records that Kafka stamped with a time in the future arrive now.

    Correct the clock first: records that come after this are judged anew.
    """
    _decide(home, event_type, repair.wrong_clock, repair.ignore_clock, yes)


@app.command()
def holes(event_type: EventType, home: Deployment = None, yes: Yes = False) -> None:
    """Skip offsets that have no record: markers of transactions, or what compaction removed."""
    _decide(home, event_type, repair.no_records, repair.allow_holes, yes)


def _decide(home: Path | None, event_type: str, plan: Plan, apply: Apply, yes: bool) -> None:
    settings, contract = contract_of(home, event_type)
    with or_cannot("repair"):
        found = plan(settings, contract)
    ranges = "\n".join(
        f"  partition {partition}: [{offsets.start}, {offsets.stop}), {len(offsets):,} records"
        for partition, offsets in found.ranges.items()
    )
    say(f"./ws {found.command} {found.does}\n{ranges}")
    if not yes and not Confirm.ask("Do it?", console=err):
        raise typer.Abort
    with or_cannot("repair"):
        apply(settings, contract, found)
    say("done, and noted in control.operator_log; the stream goes on within seconds")
