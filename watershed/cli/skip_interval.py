"""``skip-interval``: past an interval that can never be published."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.prompt import Confirm

from watershed.cli.shared import (
    Deployment,
    EventType,
    Yes,
    contract_of,
    err,
    moment,
    or_cannot,
    say,
)
from watershed.errors import IntervalError
from watershed.operations import skip_interval as operation


def skip_interval(
    event_type: EventType,
    start: Annotated[str, typer.Argument(help="Where it begins: 2026-01-31T12:00Z.")],
    home: Deployment = None,
    yes: Yes = False,
) -> None:
    """Go past the next interval, which cannot be made final, so that those after it can.

    Its sums stay those of the flow; a back-fill may finalize it later.
    """
    settings, contract = contract_of(home, event_type)
    with or_cannot("skip"):
        interval = operation.next_interval(settings, contract)
        if moment(start, datetime.now(UTC)) != interval.start:
            raise IntervalError(
                f"the next interval of {event_type} is {interval}", "name its start, or none"
            )
        say(f"goes past {interval}: its events will not be in report.{event_type}")
        if not yes and not Confirm.ask("Do it?", console=err):
            raise typer.Abort
        operation.skip_interval(settings, contract, interval)
    say("done, and noted in control.operator_log; the next run goes on from there")
