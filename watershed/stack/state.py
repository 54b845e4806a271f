"""What the supervisor reports of itself, in one file that anybody may read at any time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import IO

from watershed.stack.home import Home, write_private

LOCK = "lock"
NO_LOCK = FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError
"""Why there is none of this user's: as below ``/``, whose ``run/lock`` is a folder."""


@dataclass
class ServiceState:
    """One service: ``status`` is waiting, starting, ready, restarting or stopped."""

    status: str = "waiting"
    pid: int | None = None
    restarts: int = 0
    ready_after_s: float | None = None


@dataclass
class StackState:
    """The whole stack; ``error`` says why it gave up, if it did."""

    pid: int
    services: dict[str, ServiceState] = field(default_factory=dict)
    error: str = ""

    @property
    def ready(self) -> bool:
        """Whether every service answers."""
        return self.is_ready()

    def is_ready(self, besides: Collection[str] = ()) -> bool:
        """Whether every service answers, but for those whose names are ``besides``."""
        return bool(self.services) and all(
            service.status == "ready"
            for name, service in self.services.items()
            if name not in besides
        )

    @property
    def stopped(self) -> bool:
        """Whether the supervisor stopped every service before it ended; a killed one cannot."""
        return bool(self.services) and all(
            service.status == "stopped" for service in self.services.values()
        )

    def write(self, home: Home) -> None:
        write_private(home.run / "state.json", json.dumps(asdict(self)))


def read_state(home: Home) -> StackState | None:
    """The last state written; None when no stack was ever started here. Makes nothing."""
    try:
        raw = json.loads((home.path / "run" / "state.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    services = {name: ServiceState(**values) for name, values in raw.pop("services").items()}
    return StackState(services=services, **raw)


def hold(home: Home) -> IO[str] | None:
    """Take the home for this process's lifetime; None when a supervisor has it.

    The kernel frees it however the process ends, so it cannot be stale.
    """
    return _locked((home.run / LOCK).open("a"))


def running(home: Home) -> bool:
    """Whether a supervisor runs this stack now. Makes nothing: the folder may be anybody's."""
    try:
        file = (home.path / "run" / LOCK).open("r+")
    except NO_LOCK:
        return False
    lock = _locked(file)
    if lock is None:
        return True
    lock.close()
    return False


def _locked(file: IO[str]) -> IO[str] | None:
    """The open file, locked until it is closed; closed and None when another has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    os.set_inheritable(file.fileno(), False)
    return file
