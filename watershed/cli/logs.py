"""``logs``: what one service of the local stack says."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from watershed.cli.shared import HomePath
from watershed.errors import StackError
from watershed.stack.enrich_job import LOG as REBUILD
from watershed.stack.home import Home
from watershed.stack.services import BATCH, SPEED

TAIL_BYTES = 8_192
FOLLOW_S = 0.5
LOGS = (*SPEED, *BATCH, "supervisor", REBUILD)
"""Whose log there may be."""


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
