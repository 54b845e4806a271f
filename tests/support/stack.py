"""A real stack for live and fault tests, started by the same command as a newcomer's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import stamina

from watershed.settings import Settings
from watershed.stack.home import ROOT, Home
from watershed.stack.state import StackState, read_state

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORT_OFFSET = int(os.environ.get("WATERSHED_TEST_PORT_OFFSET", "21000")) - WORKER * 5_500
"""Each worker has a stack of its own; another offset lets a second checkout's tests run beside."""
DISK_GB = 8  # as many as `./ws up` asks for, and one; only what is used takes memory


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
        """``./ws up``, which stays, of the speed layer; standard output and error in one."""
        return subprocess.Popen(
            [sys.executable, ROOT / "ws", "up", "--no-batch", "--home", self.home.path, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self, *, batch: bool = False, environment: Mapping[str, str] | None = None) -> str:
        """Start it, with the batch layer or without, and return what it said."""
        options = "--rate", "0", "--port-offset", str(PORT_OFFSET)
        layers = "--batch" if batch else "--no-batch"
        done = self.ws("up", "--detach", layers, *options, check=False, environment=environment)
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
        found = self.state().services[service]
        assert found.pid is not None, f"{service} does not run: {found}"
        return psutil.Process(found.pid)

    def state(self) -> StackState:
        """What its supervisor reports."""
        state = read_state(self.home)
        assert state is not None
        return state

    def is_ready(self, service: str) -> bool:
        return self.state().services[service].status == "ready"

    def restarts(self, service: str) -> int:
        return self.state().services[service].restarts

    def send(self, service: str, number: signal.Signals) -> list[psutil.Process]:
        """Signal a service with all it started; the processes that were meant."""
        leader = self.process(service)
        leader.suspend()  # it starts no other while they are looked up
        # By descent: each of PostgreSQL's backends leads a process group of its own.
        family = [leader, *leader.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return family

    def kill(self, service: str) -> None:
        """SIGKILL a service with all it started, and wait until it runs again."""
        before = self.restarts(service)
        self.send(service, signal.SIGKILL)
        self.wait_restarted(service, before)

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """A service that hangs: it keeps its connections and answers none of them."""
        family = self.send(service, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    @contextmanager
    def away(self, service: str) -> Iterator[None]:
        """A service that was killed, and runs again only afterwards."""
        before = self.restarts(service)
        with self._unsupervised():
            killed = self.send(service, signal.SIGKILL)
            wait_until(lambda: all(map(ended, killed)), f"{service} is gone")
            yield
        self.wait_restarted(service, before)

    @contextmanager
    def _unsupervised(self) -> Iterator[None]:
        """Nothing that ends is restarted meanwhile."""
        supervisor = psutil.Process(self.state().pid)
        supervisor.suspend()
        try:
            yield
        finally:
            supervisor.resume()

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

    @property
    def has_disk(self) -> bool:
        """Whether its home lies on a file system of its own."""
        return self.home.path.parent.is_mount()

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """A disk on which what is written now is all there is room for.

        The file system is cut down to what it holds: a file that fills it would take memory.
        """
        used = shutil.disk_usage(self.home.path).used
        _mount(self.home.path.parent, "remount", f"size={used + 2**20}")
        try:
            yield
        finally:
            _mount(self.home.path.parent, "remount", f"size={DISK_GB}g")

    def destroy(self) -> None:
        self.ws("destroy", "--yes")
        if self.has_disk:
            subprocess.run(["umount", self.home.path.parent], check=True)  # noqa: S607


def ended(process: psutil.Process) -> bool:
    """Whether a process has ended, be it that nobody has asked how."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def home_for_tests() -> Path:
    """A folder that PostgreSQL's user can reach when the tests run as root."""
    base = Path("/var/tmp") if os.geteuid() == 0 else Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108
    return base / f"watershed-tests-{os.getuid()}-{PORT_OFFSET}" / "home"


def fresh(home: Path) -> Stack:
    """A stack in an empty home; one that an interrupted run left behind is taken away.

    Root gets a disk of its own for it, in memory, so that a test can fill it: the stack that all
    tests share serves for that too, where a second one would cost a minute and 3 GB.
    """
    left_over = Stack(Home.open(home))
    if left_over.home.exists:
        left_over.destroy()
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(exist_ok=True)
    if os.geteuid() == 0 and not home.parent.is_mount():
        # Where it is not allowed, as in a container, the folder will do.
        with suppress(subprocess.CalledProcessError):
            _mount(home.parent, f"size={DISK_GB}g", "mode=711")
    return Stack(Home.open(home, PORT_OFFSET))


def _mount(folder: Path, *options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "watershed-tests", folder]
    subprocess.run(command, check=True, capture_output=True)
