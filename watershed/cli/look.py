"""``status``, ``audit``, ``logs``: what goes on, and whether it is right."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from watershed.cli.shared import HOME, AsJson, HomePath, out, say
from watershed.errors import StackError
from watershed.stack.home import Home
from watershed.status import ContractStatus, Status, collect

TAIL_BYTES = 8_192
FOLLOW_S = 0.5


def status(home: HomePath = HOME, as_json: AsJson = False) -> None:
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
    for line in [found.error, *found.unavailable]:
        if line:
            say(f"[red]✗[/] {line}")


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


def logs(
    name: Annotated[str, typer.Argument(help="A service, as ./ws status lists them.")],
    home: HomePath = HOME,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """The end of a service's log: kafka, cassandra, postgres, redis, stream, producer, supervisor."""
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


def audit() -> None:
    """Prove that nothing is lost."""
