"""What the supervisor knows of a program it runs."""

from __future__ import annotations

import pwd
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from string import Template

from watershed.stack.home import ROOT, Home


def nothing() -> None:
    """A step that a service does not need."""


@dataclass(frozen=True)
class Service:
    """One program: how to start it, when it is ready, how to stop it.

    ``needs`` names services that must be ready first. ``prepare`` runs before each start, ``after``
    once it is ready for the first time; all may run again at the next ``up``. ``upkeep`` gives the
    command of what is to be done now and then while it runs.
    ``ready`` returns whether the program answers; it may raise OSError while it does not. It is
    asked every ``poll_s``.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    needs: tuple[str, ...] = ()
    prepare: Callable[[], None] = nothing
    after: Callable[[], None] = nothing
    upkeep: Callable[[], tuple[str, ...]] | None = None
    env: dict[str, str] = field(default_factory=dict)
    user: pwd.struct_passwd | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    ready_timeout_s: float = 120
    stop_timeout_s: float = 30
    poll_s: float = 0.2


def render(name: str, home: Home, **values: str) -> str:
    """A file of ``infra/local`` with the stack's ports and ``values`` filled in."""
    template = Template((ROOT / "infra" / "local" / name).read_text())
    return template.substitute({**vars(home.ports), **values})
