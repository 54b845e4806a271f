"""What commands share: options, the console, and how an error is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from watershed.stack.home import default_home

HomePath = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="WATERSHED_HOME",
        help="Folder with everything a stack keeps. Two homes are two stacks.",
    ),
]
PortOffset = Annotated[
    int | None,
    typer.Option(
        help="Moves every port up, so that two stacks fit on one machine. Kept from the first"
        " start on.",
        min=0,
        max=50_000,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

HOME = default_home()

out = Console()
err = Console(stderr=True)


def say(message: str) -> None:
    """A line about what is going on, to standard error."""
    err.print(message, highlight=False)


def fail(error: object) -> NoReturn:
    """Print cause and remedy, and exit with 1."""
    err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    sys.exit(1)
