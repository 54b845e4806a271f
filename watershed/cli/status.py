"""``status``: does everything run, and does it keep up?"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from datetime import timedelta

from rich.markup import escape
from rich.table import Table

from watershed.batch.ledger import NewestEntry
from watershed.cli.shared import AsJson, Deployment, local_stack, out, say, settings_of
from watershed.operations.report_status import ReportStatus
from watershed.operations.status import ContractStatus, PipelineStatus, collect
from watershed.stack.services_status import StackStatus, stack_status

DRIFT = "groups of intervals in which batch and flow differ without a reason"


def status(home: Deployment = None, as_json: AsJson = False) -> None:
    """Servers, memory, and per contract and partition what is produced, stored and behind.

    Exits with 0 only if everything runs and answers. Of another deployment than the local stack
    it knows no processes.
    """
    stack = local_stack(home)
    services = stack_status(stack) if stack else None
    pipeline = collect(settings_of(home))
    healthy = pipeline.healthy and (services is None or services.healthy)
    if as_json:
        print(
            json.dumps(_as_dict(services, pipeline) | {"healthy": healthy}, indent=2, default=str)
        )
    else:
        _print(services, pipeline)
    sys.exit(0 if healthy else 1)


def _as_dict(services: StackStatus | None, pipeline: PipelineStatus) -> dict[str, object]:
    contracts = [
        dataclasses.asdict(c) | {"lag_events": c.lag_events, "lag_s": c.lag_s}
        for c in pipeline.contracts
    ]
    known = dataclasses.asdict(pipeline) | {"contracts": contracts}
    if services is None:
        return known
    return dataclasses.asdict(services) | known | {"memory_mb": services.memory_mb}


def _print(services: StackStatus | None, pipeline: PipelineStatus) -> None:
    if services:
        _print_services(services)
    for contract in pipeline.contracts:
        _print_contract(contract)
    faults = [f"{c.type}: {fault}" for c in pipeline.contracts for fault in c.faults]
    for line in [*([services.error] if services else []), *pipeline.unavailable, *faults]:
        if line:
            say(f"[red]✗[/] {escape(line)}")


def _print_services(stack: StackStatus) -> None:
    table = Table("service", "status", "pid", "restarts", "memory", box=None, padding=(0, 2))
    for service in stack.services:
        colour = "green" if service.status == "ready" else "yellow"
        table.add_row(service.name, f"[{colour}]{service.status}[/]", str(service.pid or "–"),
                      str(service.restarts), f"{service.memory_mb:,} MB")  # fmt: skip
    out.print(table)


def _print_contract(contract: ContractStatus) -> None:
    cache = "away" if contract.cache_behind is None else f"{contract.cache_behind} commits behind"
    out.print(
        f"\n[bold]{contract.type}[/]  {contract.events_per_s:,} events/s   commit"
        f" {contract.sequence:,}   cache {cache}",
        highlight=False,
    )
    table = Table("partition", "produced", "stored", "quarantined", "lag", "lag s", "watermark",
                  box=None, padding=(0, 2))  # fmt: skip
    for partition in contract.partitions:
        watermark = partition.watermark.strftime("%H:%M:%S") if partition.watermark else "–"
        table.add_row(
            str(partition.partition), f"{partition.produced:,}", f"{partition.stored:,}",
            f"{partition.quarantined:,}", f"{partition.lag_events:,}", f"{partition.lag_s}",
            watermark,
        )  # fmt: skip
    out.print(table)
    if contract.report:
        _print_report(contract.report)


def _print_report(found: ReportStatus) -> None:
    """How far it is final, the last interval, drift, and the newest alert; a line for each."""
    for name, text in report_lines(found):
        out.print(f"  {name:<13}{text}", highlight=False, soft_wrap=True)


def report_lines(found: ReportStatus) -> Iterator[tuple[str, str]]:
    """What is printed, with its colours, by its name."""
    if found.final_until is None or found.final_s is None:
        yield "final", "nothing yet"
    else:
        age = timedelta(seconds=round(found.final_s))
        yield "final", f"until {found.final_until:%Y-%m-%d %H:%M}, {age} ago"
    if found.last:
        yield "last", _last_interval(found.last)
    yield "unexplained", f"[red]{found.unexplained:,}[/] {DRIFT}" if found.unexplained else "0"
    if found.alert:
        text = escape(f"{found.alert.source}: {found.alert.message}")
        yield "alert", f"[yellow]{found.alert.at:%Y-%m-%d %H:%M} {text}[/]"


def _last_interval(last: NewestEntry) -> str:
    when = f"{last.start:%H:%M} to {last.end:%H:%M}"
    if last.skipped:
        return f"{when}, skipped"
    return (
        f"{when}, {last.rows:,} rows, {last.duplicates:,} duplicates, {last.conflicts:,} conflicts"
    )
