"""A real stack for live and fault tests, started by the same command as a newcomer's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import stamina

from watershed.settings import Settings
from watershed.stack.home import ROOT, Home
from watershed.stack.state import read_state

PORT_OFFSET = int(os.environ.get("WATERSHED_TEST_PORT_OFFSET", "21000"))
"""Another one lets a second checkout's tests run beside these."""


class NotYetError(AssertionError):
    """A condition that a test waits for does not hold yet."""


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 90) -> None:
    """Wait until a condition holds; fails with ``what`` when it does not in time."""
    for attempt in stamina.retry_context(
        on=NotYetError,
        attempts=None,
        timeout=timeout_s,
        wait_initial=0.2,
        wait_max=0.5,
        wait_jitter=0,
    ):
        with attempt:
            if not holds():
                raise NotYetError(f"not after {timeout_s} s: {what}")


@dataclass(frozen=True)
class Stack:
    """A running stack without a producer, and its command line."""

    home: Home

    def ws(
        self, *arguments: str, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``./ws`` on this stack, with more variables in its environment."""
        return subprocess.run(
            [sys.executable, ROOT / "ws", *arguments],
            check=check,
            env=os.environ | {"WATERSHED_HOME": str(self.home.path)} | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=280,
        )

    def starting(self, *options: str) -> subprocess.Popen[str]:
        """``./ws up``, which stays; standard output and error in one."""
        return subprocess.Popen(
            [sys.executable, ROOT / "ws", "up", "--home", self.home.path, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self) -> str:
        """Start it and return what it said."""
        done = self.ws(
            "up", "--detach", "--rate", "0", "--port-offset", str(PORT_OFFSET), check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def settings(self) -> Settings:
        return self.home.settings()

    def status(self) -> dict[str, Any]:
        """``./ws status --json``."""
        found: dict[str, Any] = json.loads(self.ws("status", "--json", check=False).stdout)
        return found

    def audit(self) -> dict[str, Any]:
        """``./ws audit --json``."""
        found: dict[str, Any] = json.loads(self.ws("audit", "--json", check=False).stdout)
        return found

    def process(self, service: str) -> psutil.Process:
        """The running process of a service."""
        state = read_state(self.home)
        assert state is not None
        pid = state.services[service].pid
        assert pid is not None, f"{service} does not run: {state.services[service]}"
        return psutil.Process(pid)

    def is_ready(self, service: str) -> bool:
        state = read_state(self.home)
        return state is not None and state.services[service].status == "ready"

    def restarts(self, service: str) -> int:
        state = read_state(self.home)
        assert state is not None
        return state.services[service].restarts

    def kill(self, service: str) -> None:
        """SIGKILL a service with all it started, and wait until it runs again."""
        before = self.restarts(service)
        os.killpg(self.process(service).pid, signal.SIGKILL)
        self.wait_restarted(service, before)

    def wait_restarted(self, service: str, before: int) -> None:
        """Wait until a service has been restarted since it had ``before`` restarts."""
        wait_until(
            lambda: self.restarts(service) > before and self.is_ready(service),
            f"{service} runs again",
        )

    def arm(self, failpoint: str) -> Path:
        """Let the stream die at a failpoint; the file is gone once it has."""
        path = self.home.path / "scratch" / "failpoint"
        path.write_text(failpoint)
        return path

    def destroy(self) -> None:
        self.ws("destroy", "--yes")


def home_for_tests() -> Path:
    """A folder that PostgreSQL's user can reach when the tests run as root."""
    base = Path("/var/tmp") if os.geteuid() == 0 else Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108
    return base / f"watershed-tests-{os.getuid()}-{PORT_OFFSET}"


def fresh(home: Path) -> Stack:
    """A stack in an empty home; one that an interrupted run left behind is taken away."""
    left_over = Stack(Home.open(home))
    if left_over.home.exists:
        left_over.destroy()
    shutil.rmtree(home, ignore_errors=True)
    return Stack(Home.open(home, PORT_OFFSET))
