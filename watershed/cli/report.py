"""How ``status`` shows what a contract's report has settled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rich.markup import escape

from watershed.cli.shared import out
from watershed.operations.report_status import LastInterval, Reported

DRIFT = "groups of intervals in which batch and flow differ without a reason"


def print_report(found: Reported) -> None:
    """How far it is settled, the last interval, drift, and the newest alert; a line for each."""
    for name, text in lines(found):
        out.print(f"  {name:<13}{text}", highlight=False, soft_wrap=True)


def lines(found: Reported) -> Iterator[tuple[str, str]]:
    """What is printed, with its colours, by its name."""
    if found.settled_until is None or found.settled_s is None:
        yield "settled", "nothing yet"
    else:
        age = timedelta(seconds=round(found.settled_s))
        yield "settled", f"until {found.settled_until:%Y-%m-%d %H:%M}, {age} ago"
    if found.last:
        yield "last", _last(found.last)
    yield "unexplained", f"[red]{found.unexplained:,}[/] {DRIFT}" if found.unexplained else "0"
    if found.alert:
        text = escape(f"{found.alert.source}: {found.alert.message}")
        yield "alert", f"[yellow]{found.alert.at:%Y-%m-%d %H:%M} {text}[/]"


def _last(last: LastInterval) -> str:
    when = f"{last.start:%H:%M} to {last.end:%H:%M}"
    if last.skipped:
        return f"{when}, skipped"
    return (
        f"{when}, {last.rows:,} rows, {last.duplicates:,} duplicates, {last.conflicts:,} conflicts"
    )
