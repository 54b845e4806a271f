"""The report of one run of ``./ws bench enrich``: what was aimed at, and what came out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich.table import Table

from benchmarks.report import goals_table, listing
from benchmarks.results import Goal, machine
from watershed.cli.shared import out

RATE = 30_000
GROWTH = 1.1
STAGES = {
    "find": "find the keys in the time index",
    "read": "read, hash, order by id, keep, count",
    "enrich": "run enrich.sql, write rows",
    "copy": "COPY into staging",
    "check": "count and compare",
    "quality": "quality checks on staging",
    "publish": "publish: facts, sums, ledger",
}
PUBLISHING = ("quality", "publish")
"""What follows the Spark job: PostgreSQL alone works then."""


@dataclass(frozen=True)
class Rounds:
    """Attempts at one interval in one Spark: events and seconds by stage, in order."""

    startup_s: float
    rounds: list[dict[str, Any]]
    naive_s: float | None

    @property
    def events(self) -> int:
        return int(self.rounds[0]["events"])

    def seconds(self, number: int) -> float:
        """All stages of one round."""
        return float(sum(self.rounds[number]["stages"].values()))

    def loading(self, number: int) -> float:
        """The stages of one round up to the staging table."""
        stages = self.rounds[number]["stages"]
        return float(sum(took for stage, took in stages.items() if stage not in PUBLISHING))

    @property
    def fastest(self) -> int:
        """The number of the fastest round."""
        return min(range(len(self.rounds)), key=self.seconds)


@dataclass(frozen=True)
class Report:
    """What one run found: an interval ``alone`` and ``among`` all that is stored, and ``all`` of
    that in one interval."""

    date: datetime
    alone: Rounds
    among: Rounds
    all: Rounds

    @property
    def rate(self) -> float:
        """Events per second into staging, the first time, as a job does it."""
        return self.all.events / self.all.loading(0)

    @property
    def growth(self) -> float:
        """How many times longer the same interval takes among all that is stored."""
        among, alone = self.among, self.alone
        return among.seconds(among.fastest) / alone.seconds(alone.fastest)

    @property
    def naive(self) -> float:
        """How many times longer Spark's JDBC append takes than what is done in its place."""
        stages = self.all.rounds[-1]["stages"]
        return (self.all.naive_s or 0.0) / float(stages["enrich"] + stages["copy"])


def goals(report: Report) -> list[Goal]:
    """The numbers that the design aims at, beside those of this run."""
    stored = 1 + report.all.events / report.alone.events
    return [
        Goal("enriched and loaded", report.rate, "events/s", at_least=RATE),
        Goal(f"interval among {stored:.0f} x as much / alone", report.growth, "x", at_most=GROWTH),
        Goal("naive JDBC append / enrich and COPY", report.naive, "x", at_least=1),
    ]


def as_dict(report: Report) -> dict[str, Any]:
    """The report for scripts."""
    return {
        "date": report.date.isoformat(timespec="seconds"),
        "machine": machine(),
        "goals": [asdict(goal) | {"met": goal.met} for goal in goals(report)],
        **{name: asdict(getattr(report, name)) for name in ("alone", "among", "all")},
    }


def show(report: Report) -> None:
    """Print the report for people."""
    found = machine()
    out.print(f"{report.date:%Y-%m-%d %H:%M} UTC; {found.pop('cores')} cores,", *found.values())
    for one in (_stages(report.all), _rounds(report), goals_table(goals(report))):
        out.print(one)


def _stages(found: Rounds) -> Table:
    made = listing(f"{found.events:,} events", "s, first time", "µs/event", "s, again")
    first, again = found.rounds[0]["stages"], found.rounds[-1]["stages"]
    for stage, title in STAGES.items():
        each = first[stage] * 1e6 / found.events
        made.add_row(title, f"{first[stage]:.2f}", f"{each:.1f}", f"{again[stage]:.2f}")
    for title, seconds in (("into staging", found.loading), ("into the report", found.seconds)):
        total, again_s = seconds(0), seconds(-1)
        each = total * 1e6 / found.events
        made.add_row(f"[bold]{title}[/]", f"{total:.2f}", f"{each:.1f}", f"{again_s:.2f}")
    made.add_row("  before that, Spark's start", f"{found.startup_s:.2f}", "", "")
    return made


def _rounds(report: Report) -> Table:
    """The interval's fastest rounds by stage, alone and among all that is stored."""
    events = f"{report.alone.events:,} events, fastest round"
    made = listing(events, "s, alone", "s, among all", "x")
    sides = report.alone, report.among
    for stage, title in STAGES.items():
        _compare(made, title, [side.rounds[side.fastest]["stages"][stage] for side in sides])
    _compare(made, "[bold]into staging[/]", [side.loading(side.fastest) for side in sides])
    _compare(made, "[bold]into the report[/]", [side.seconds(side.fastest) for side in sides])
    return made


def _compare(made: Table, title: str, seconds: list[float]) -> None:
    alone, among = seconds
    made.add_row(title, f"{alone:.2f}", f"{among:.2f}", f"{among / alone:.2f}" if alone else "")
