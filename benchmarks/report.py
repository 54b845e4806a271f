"""The report of one run of ``./ws bench ingest``: what was aimed at, and what came out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from benchmarks.results import Goal, Run, machine
from watershed.cli.shared import out

WAYS = {
    "stream": "the stream",
    "copy": "bare connector copy",
    "plain": "plain consumer",
    "tuned": "tuned consumer",
    "classic": "rdd.map and JDBC",
}
MINIMA = {"copy": 0.8, "plain": 12.0, "tuned": 3.0}
RATE = 30_000
P50_S, P99_S = 1.0, 2.5


@dataclass
class Report:
    """What one run found; ``runs`` by the keys of :data:`WAYS`, ``latency`` in seconds."""

    events: int
    date: datetime = field(default_factory=lambda: datetime.now(UTC))
    runs: dict[str, Run] = field(default_factory=dict)
    startup_s: float = 0.0
    latency: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, int] = field(default_factory=dict)

    @property
    def with_startup(self) -> float:
        """Events per second of the stream, counted from the start of its process."""
        stream = self.runs["stream"]
        return stream.events / (stream.seconds + self.startup_s)

    def ratio(self, way: str) -> float:
        """How many times faster the stream is than another way, by their second halves."""
        return self.runs["stream"].sustained / self.runs[way].sustained


def goals(report: Report) -> list[Goal]:
    """The numbers that the design aims at, beside those of this run."""
    stream = report.runs["stream"].sustained
    ratios = [
        Goal(f"stream / {WAYS[way]}", report.ratio(way), "x", at_least=least)
        for way, least in MINIMA.items()
    ]
    latency = [
        Goal(f"append to {place}, {name}", report.latency[f"{key}_{name}_s"], "s", at_most=most)
        for key, place in (("redis", "Redis"), ("flow", "transaction_flow"))
        for name, most in (("p50", P50_S), ("p99", P99_S))
    ]
    return [Goal(WAYS["stream"], stream, "events/s", at_least=RATE), *ratios, *latency]


def as_dict(report: Report) -> dict[str, Any]:
    """The report for scripts."""
    return {
        "date": report.date.isoformat(timespec="seconds"),
        "machine": machine(),
        "events": report.events,
        "runs": {
            way: asdict(run) | {"rate": run.rate, "sustained": run.sustained}
            for way, run in report.runs.items()
        },
        "with_startup": report.with_startup,
        "goals": [asdict(goal) | {"met": goal.met} for goal in goals(report)],
        "latency": report.latency,
        "cpu_s": report.cpu_s,
        "memory_mb": report.memory_mb,
    }


def show(report: Report) -> None:
    """Print the report for people."""
    found = machine()
    out.print(f"{report.date:%Y-%m-%d %H:%M} UTC; {found.pop('cores')} cores,", *found.values())
    for one in (_rates(report), goals_table(goals(report)), _programs(report)):
        out.print(one)


def _rates(report: Report) -> Table:
    table = listing("way", "events", "events/s", "second half", "stream is")
    for way, title in WAYS.items():
        run = report.runs[way]
        ratio = "" if way == "stream" else f"{report.ratio(way):.2f} x"
        table.add_row(title, f"{run.events:,}", f"{run.rate:,.0f}", f"{run.sustained:,.0f}", ratio)
        if way == "stream":
            table.add_row("  with its start", "", f"{report.with_startup:,.0f}", "", "")
    return table


def goals_table(found: list[Goal]) -> Table:
    """Goals beside what was measured."""
    made = listing("goal", "aimed at", "measured", "")
    for goal in found:
        digits = 0 if goal.measured >= 1_000 else 2
        mark = "[green]✓[/]" if goal.met else "[red]✗[/]"
        made.add_row(goal.what, goal.target, f"{goal.measured:,.{digits}f} {goal.unit}", mark)
    return made


def _programs(report: Report) -> Table:
    table = listing("program, while the stream took the topic", "CPU µs/event", "largest memory")
    for name, seconds in sorted(report.cpu_s.items(), key=lambda item: -item[1]):
        memory = f"{report.memory_mb[name]:,} MB" if name in report.memory_mb else ""
        table.add_row(name, f"{seconds * 1e6 / report.events:.1f}", memory)
    return table


def listing(first: str, *others: str) -> Table:
    """An empty table without lines; all columns but the first are numbers."""
    table = Table(first, box=None)
    for name in others:
        table.add_column(name, justify="right")
    return table
