"""``status``, ``audit``, ``logs``: what goes on, and whether it is right."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from watershed.cli.report import print_report
from watershed.cli.shared import (
    IMPOSSIBLE,
    AsJson,
    HomePath,
    Since,
    cannot,
    err,
    moment,
    out,
    say,
)
from watershed.contracts.load import load_contracts
from watershed.errors import StackError
from watershed.operations.audit.audit import audit as run_audit
from watershed.operations.audit.check import Check
from watershed.operations.audit.snapshot import Snapshot
from watershed.operations.status import ContractStatus, Status, collect
from watershed.settings import Settings
from watershed.stack.enriching import LOG as REBUILD
from watershed.stack.home import Home
from watershed.stack.services import BATCH, SPEED

TAIL_BYTES = 8_192
FOLLOW_S = 0.5
LOGS = (*SPEED, *BATCH, "supervisor", REBUILD)
"""Whose log there may be."""


def status(home: HomePath, as_json: AsJson = False) -> None:
    """Servers, memory, and per contract and partition what is produced, stored and behind.

    Exits with 0 only if everything runs and answers.
    """
    found = collect(Home.open(home))
    if as_json:
        print(json.dumps(_as_dict(found), indent=2, default=str))
    else:
        _print(found)
    sys.exit(0 if found.healthy else 1)


def _as_dict(found: Status) -> dict[str, object]:
    contracts = [
        dataclasses.asdict(c) | {"lag_events": c.lag_events, "lag_s": c.lag_s}
        for c in found.contracts
    ]
    totals = {"healthy": found.healthy, "memory_mb": found.memory_mb, "contracts": contracts}
    return dataclasses.asdict(found) | totals


def _print(found: Status) -> None:
    table = Table("service", "status", "pid", "restarts", "memory", box=None, padding=(0, 2))
    for one in found.services:
        colour = "green" if one.status == "ready" else "yellow"
        table.add_row(one.name, f"[{colour}]{one.status}[/]", str(one.pid or "–"),
                      str(one.restarts), f"{one.memory_mb:,} MB")  # fmt: skip
    out.print(table)
    for contract in found.contracts:
        _print_contract(contract)
    faults = [f"{c.type}: {fault}" for c in found.contracts for fault in c.faults]
    for line in [found.error, *found.unavailable, *faults]:
        if line:
            say(f"[red]✗[/] {escape(line)}")


def _print_contract(contract: ContractStatus) -> None:
    cache = "away" if contract.cache_behind is None else f"{contract.cache_behind} commits behind"
    out.print(
        f"\n[bold]{contract.type}[/]  {contract.events_per_s:,} events/s   commit"
        f" {contract.sequence:,}   cache {cache}",
        highlight=False,
    )
    table = Table("partition", "produced", "stored", "quarantined", "lag", "lag s", "watermark",
                  box=None, padding=(0, 2))  # fmt: skip
    for one in contract.partitions:
        watermark = one.watermark.strftime("%H:%M:%S") if one.watermark else "–"
        table.add_row(str(one.partition), f"{one.produced:,}", f"{one.stored:,}",
                      f"{one.quarantined:,}", f"{one.lag_events:,}", f"{one.lag_s}",
                      watermark)  # fmt: skip
    out.print(table)
    if contract.reported:
        print_report(contract.reported)


def logs(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(LOGS)}.")],
    home: HomePath,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """The end of one log: a service's, the supervisor's, or that of ./ws rebuild report."""
    stack = Home.open(home)
    path = stack.path / "logs" / f"{name}.log"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.log"))) or "none"
        raise StackError(f"there is no log of {name!r} in {stack.path}", f"there are: {there}")
    try:
        _show(path, follow)
    except KeyboardInterrupt:
        return


def _show(path: Path, follow: bool) -> None:
    with path.open(errors="replace") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        sys.stdout.write(file.read())
        while follow:
            sys.stdout.flush()
            time.sleep(FOLLOW_S)  # a file cannot be waited for without a watcher library
            if path.stat().st_size < file.tell():
                file.seek(0, os.SEEK_SET)  # it was trimmed
            sys.stdout.write(file.read())


def audit(
    home: HomePath,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Prove that nothing is lost, doubled or wrong: every store against the others.

    As of one commit, also while events flow. Exits with 0 only if every check holds, with 1 when
    one does not, with 2 when it cannot be run.
    """
    now = datetime.now(UTC)
    try:
        settings = Home.open(home).settings()
        found = _audit(settings, moment(since, now), now)
    except IMPOSSIBLE as error:
        cannot("audit", error)
    checks = [check for _, checks in found.values() for check in checks]
    ok = all(check.ok for check in checks)
    if as_json:
        as_of = {
            name: {"sequence": taken.sequence, "offsets": taken.offsets}
            for name, (taken, _) in found.items()
        }
        listed = [dataclasses.asdict(check) | {"ok": check.ok} for check in checks]
        print(json.dumps({"ok": ok, "as_of": as_of, "checks": listed}, indent=2))
    else:
        _print_checks(checks)
    sys.exit(0 if ok else 1)


def _audit(
    settings: Settings, since: datetime | None, now: datetime
) -> dict[str, tuple[Snapshot, list[Check]]]:
    """Every contract's audit, with its progress on a terminal."""
    found = {}
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        for name, contract in load_contracts(settings.schemas_dir, settings.topics).items():
            task = progress.add_task(name, total=None)

            def watch(done: int, total: int, task: TaskID = task) -> None:
                progress.update(task, completed=done, total=total)

            found[name] = run_audit(settings, contract, since, now, watch)
    return found


def _print_checks(checks: list[Check]) -> None:
    table = Table("contract", "check", "", "looked at", box=None, padding=(0, 2, 0, 0))
    for one in checks:
        table.add_row(
            one.contract, one.check, "[green]ok[/]" if one.ok else "[red]✗[/]", one.looked_at
        )
    out.print(table)
    for one in checks:
        for fault in one.faults:
            out.print(f"[red]✗[/] {one.contract} {one.check}: {escape(fault)}", highlight=False)
