"""What the DAGs say when something is not as it must be: cause and remedy. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import NamedTuple

from watershed.batch.reconcile import UnexplainedSum

FAULTS_MAX = 5
CLOCK = "%Y-%m-%d %H:%M:%S"
COUNTED = frozenset({"rows", "flow"})
"""Quality checks that fail where a layer has too few events, or too many: no reference data and no
query mends that."""

LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (\w+) +(\S+) (.*)")
"""How a job's line begins, and one of Spark's: time, level, logger."""

RAISED = re.compile(r"(?:: )?([\w.]+(?:Error|Exception)(?:: .*)?)")
"""An exception's own line; Java's has a colon before it where Python prints it."""


class StreamState(NamedTuple):
    """What a contract's streaming query last said of itself.

    ``moved_at`` is the latest of its newest commit, its watermark and its first start.
    """

    type: str
    heartbeat_at: datetime | None
    refusal: str | None
    moved_at: datetime | None


def incomplete(
    event_type: str, watermark: datetime | None, until: datetime | None, has_snapshot: bool
) -> str | None:
    """What an enrichment up to ``until`` still waits for; None when it may begin."""
    if watermark is None:
        return (
            f"nothing of {event_type} is known to be complete: the stream has committed nothing\n"
            "  -> ./ws status shows whether it runs, and what it refuses"
        )
    if until is not None and watermark < until:
        return (
            f"the raw store of {event_type} is complete up to {watermark:{CLOCK}} UTC, the run"
            f" needs {until:{CLOCK}}\n"
            "  -> ./ws status shows where the stream is; clear this task when it has caught up"
        )
    if not has_snapshot:
        return (
            "there is no snapshot of the reference data yet\n"
            "  -> the DAG refresh_reference makes one: its last run says what it lacks"
        )
    return None


def standing_still(
    queries: Iterable[StreamState], now: datetime, silent: timedelta, still: timedelta
) -> list[str]:
    """A line for each contract whose stream refuses to go on, was silent for longer than
    ``silent``, or commits nothing for longer than ``still``."""
    return [text for query in queries if (text := _fault(query, now, silent, still))]


def _fault(query: StreamState, now: datetime, silent: timedelta, still: timedelta) -> str | None:
    if query.heartbeat_at is None:
        return (
            f"{query.type}: its stream has never said that it lives\n"
            "  -> ./ws logs stream says why; ./ws up starts it"
        )
    if now - query.heartbeat_at > silent:
        return (
            f"{query.type}: its stream is silent since {query.heartbeat_at:{CLOCK}} UTC\n"
            "  -> ./ws status shows whether it runs, ./ws logs stream why it ended"
        )
    if query.refusal:
        return f"{query.type}: its stream does not go on: {query.refusal}"
    if query.moved_at and now - query.moved_at > still:
        return (
            f"{query.type}: its stream lives, but since {query.moved_at:{CLOCK}} UTC it has"
            " committed nothing, and its watermark stands still\n"
            "  -> ./ws logs stream says what it fails at, ./ws status which server is away"
        )
    return None


def failed_checks(event_type: str, table: str, checks: Mapping[str, str]) -> str:
    """What quality checks found, by name, and what to do about each; the staged rows stay where
    they can be looked at."""
    lines = "".join(f"\n    {name}: {found}" for name, found in checks.items())
    made = _for(
        checks.keys() - COUNTED, "repair the reference data or the query, then clear the task begin"
    )
    counted = _for(
        checks.keys() & COUNTED,
        f"./ws audit says which layer is wrong, ./ws rebuild flow {event_type} makes the flow again"
        " from the raw store; then clear the task begin. An interval whose raw events are lost is"
        f" passed with ./ws skip-interval {event_type} START",
    )
    return (
        f"nothing is published: {len(checks)} quality checks do not hold:{lines}\n"
        f"  -> look at staging.{table}{made}{counted}"
    )


def _for(checks: Set[str], cure: str) -> str:
    return f"\n  -> {', '.join(sorted(checks))}: {cure}" if checks else ""


def job_failure(lines: Sequence[str], code: int) -> str:
    """Why a job ended with an exit code, of the last lines that it printed.

    The cause and remedy that it logged; without one, the last exception; without that, the last
    line, for what it is worth.
    """
    if said := _logged(lines):
        return "\n  ".join(said)
    raised = [found[1] for line in lines if (found := RAISED.fullmatch(line))]
    printed = [line for line in lines if line]
    if raised:
        cause = raised[-1]
    elif printed:
        cause = f"the job ended with exit code {code}; the last it printed is: {printed[-1]}"
    else:
        cause = f"the job ended with exit code {code}, and printed nothing"
    return f"{cause}\n  -> the end of this task's log has all that it printed"


def _logged(lines: Sequence[str]) -> list[str]:
    """The lines of the last error that a job logged itself, up to its remedy."""
    said: list[str] = []
    goes_on = False
    for line in lines:
        if found := LOGGED.fullmatch(line):
            level, logger, text = found.groups()
            goes_on = level == "ERROR" and logger.startswith("watershed.")
            said = [text] if goes_on else said
        elif goes_on:
            said.append(line)
            goes_on = not line.startswith("->")
    return said


def audit_faults(output: str) -> list[str] | None:
    """A line for each check of ``./ws audit --json`` that does not hold, with its first faults;
    None where the output is no audit's."""
    try:
        checks = json.loads(output)["checks"]
    except (ValueError, TypeError, KeyError):
        return None
    return [
        f"{check['contract']} {check['check']}: {'; '.join(check['faults'][:FAULTS_MAX])}"
        for check in checks
        if not check["ok"]
    ]


def drift(event_type: str, found: Sequence[UnexplainedSum]) -> str:
    """What batch and flow differ by, where removed duplicates do not explain it."""
    shown = "".join(
        f"\n    {one.interval_start:{CLOCK}} {' '.join(map(str, one.groups))}: {one.value:+} in"
        f" {one.events:+} events"
        for one in found[:FAULTS_MAX]
    )
    return (
        f"{event_type}: batch and flow differ in {len(found)} sums, and removed duplicates do not"
        f" explain it:{shown}\n"
        f"  -> ./ws audit says which layer is wrong; ./ws rebuild flow {event_type} makes the flow"
        " again from the raw store. Then clear the task begin: the interval is compared again"
    )
