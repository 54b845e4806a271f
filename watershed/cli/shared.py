"""What commands share: options, the console, and how an error is shown."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import psycopg2
import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.errors import SettingsError, StackError, WatershedError
from watershed.settings import Settings, load_settings
from watershed.stack.home import Home, default_home
from watershed.stores.unavailable import UNAVAILABLE

HomePath = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="WATERSHED_HOME",
        default_factory=default_home,
        show_default="watershed in ~/.local/share, root's in /var/lib",
        help="Folder with everything a stack keeps. Two homes are two stacks.",
    ),
]
Deployment = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="WATERSHED_HOME",
        show_default="the local stack's, if there is one",
        help="Folder of the local stack that is meant. Where there is none, the settings are the"
        " environment's (WATERSHED_…), of whatever deployment they name.",
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
Since = Annotated[
    str | None,
    typer.Option(
        help="Only records that arrived since then: 30m, 2h, 1d ago, or 2026-01-31T12:00:00Z."
    ),
]

EventType = Annotated[str, typer.Argument(metavar="TYPE", help="An event type: transaction.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
IMPOSSIBLE: tuple[type[Exception], ...] = (WatershedError, psycopg2.Error, *UNAVAILABLE)
"""What a command cannot do anything about: it exits with 2."""

AWAY: tuple[type[Exception], ...] = (psycopg2.Error, *UNAVAILABLE)

out = Console()
err = Console(stderr=True)


def local_stack(path: Path | None) -> Home | None:
    """The local stack of a folder; without one the user's own, if there is such a stack."""
    stack = Home.open(path or default_home())
    return stack if path or stack.exists else None


def settings_of(path: Path | None) -> Settings:
    """The settings of the local stack, or else of the deployment that the environment names.

    Raises SettingsError, or StackError where there is neither.
    """
    if stack := local_stack(path):
        return stack.settings()
    settings = load_settings()
    if not settings.secrets_dir.is_dir():
        raise StackError(
            f"there is no stack at {default_home()}, nor passwords of a deployment in"
            f" {settings.secrets_dir}",
            "start one with ./ws up, name --home, or set WATERSHED_SECRETS_DIR and what else"
            " watershed/settings.py lists",
        )
    return settings


def say(message: str) -> None:
    """A line about what is going on, to standard error."""
    err.print(message, highlight=False)


def fail(error: object) -> NoReturn:
    """Print cause and remedy, and exit with 1."""
    err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    sys.exit(1)


def cannot(do: str, error: Exception) -> NoReturn:
    """Print why a command could not do what it is for, and exit with 2."""
    store = type(error).__module__.partition(".")[0]
    say(f"[bold red]cannot {do}:[/] {store}: {escape(str(error))}")
    sys.exit(2)


@contextmanager
def or_cannot(do: str) -> Iterator[None]:
    """Exit with 2 when a server is away; a refusal goes on, and ends with 1."""
    try:
        yield
    except AWAY as error:
        cannot(do, error)


def moment(text: str | None, now: datetime) -> datetime | None:
    """A time in RFC 3339, or a number of s, m, h or d before ``now``."""
    if text is None:
        return None
    if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
        return now - timedelta(seconds=int(ago[1]) * SECONDS[ago[2]])
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither like 2h nor a time: {error}") from None
    if time.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no offset from UTC: add Z")
    return time.astimezone(UTC)


def contracts_of(settings: Settings, event_type: str | None) -> dict[str, Contract]:
    """Every contract by type, or the one that is named."""
    known = load_contracts(settings.schemas_dir, settings.topics)
    if event_type is None:
        return known
    if event_type not in known:
        raise typer.BadParameter(f"no contract {event_type!r}: there are {', '.join(known)}")
    return {event_type: known[event_type]}


def contract_of(home: Path | None, event_type: str) -> tuple[Settings, Contract]:
    """The settings of a deployment, and its contract of a type. Raises SettingsError."""
    settings = settings_of(home)
    contracts = load_contracts(settings.schemas_dir, settings.topics)
    if event_type not in contracts:
        raise SettingsError(f"no event type {event_type}", f"there are: {', '.join(contracts)}")
    return settings, contracts[event_type]


def print_columns(rows: Iterable[Sequence[str | Text]]) -> None:
    """Rows in columns, each on one line: a long last value is not cut where the terminal ends."""
    lines = [[Text.assemble(cell) for cell in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*lines, strict=True)]
    for *cells, last in lines:
        for cell, width in zip(cells, widths, strict=False):
            cell.pad_right(width - cell.cell_len + 2)
        out.print(Text.assemble(*cells, last), soft_wrap=True)
