"""A supervisor that is told to stop leaves nothing behind, whatever it was about to start."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from watershed.stack import supervisor, upkeep
from watershed.stack.home import Home
from watershed.stack.processes import belonging_to, end_all
from watershed.stack.service import Service
from watershed.stack.state import read_state
from watershed.stack.supervisor import Supervisor


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A prepared home; the signals that its supervisor takes over are given back."""
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    home = Home.open(tmp_path)
    home.prepare()
    yield home
    for number, handler in before.items():
        signal.signal(number, handler)
    end_all(belonging_to(home))


def test_what_a_killed_service_left_behind_ends_before_it_starts_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its child neither ends with it nor when it is asked to, as idle workers of Airflow's."""
    monkeypatch.setattr(supervisor, "GRACE_S", 0.5)
    starts = home.scratch / "starts"
    stubborn = "trap '' TERM; echo >> $0.child; exec sleep 600"
    script = f"echo $$ >> $0; [ -e $0.child ] || sh -c {shlex.quote(stubborn)} $0 & exec sleep 600"
    first: list[psutil.Process] = []

    def ready() -> bool:
        """The first one is killed; at the second one everything stops."""
        pids = starts.read_text().split() if starts.exists() else []
        if len(pids) == 1 and starts.with_name("starts.child").exists() and not first:
            first.extend(belonging_to(home, "leader"))
            os.kill(int(pids[0]), signal.SIGKILL)
            return True
        if len(pids) == 2:
            assert not any(map(psutil.Process.is_running, first))
            os.kill(os.getpid(), signal.SIGTERM)
        return len(pids) == 2

    service = Service("leader", ("sh", "-c", script, str(starts)), ready)
    assert Supervisor(home, [service]).run() == ""
    assert len(first) >= 2
    assert belonging_to(home) == []


@pytest.mark.parametrize("last", ["exit 1", "exec sleep 600"])
def test_upkeep_is_done_again_and_again_until_everything_stops(
    last: str, home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may fail, and a stop ends it."""
    monkeypatch.setattr(upkeep, "EVERY_S", 0.05)
    done = home.scratch / "done"
    script = f"[ $(wc -l < {done}) -ge 2 ] && {{ echo >> {done}; {last}; }}; echo >> {done}; exit 3"

    def ready() -> bool:
        if done.exists() and len(done.read_text().splitlines()) >= 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    done.touch()
    service = Service(
        "slow", ("sleep", "600"), ready, upkeep=lambda: ("sh", "-c", script), poll_s=0.05
    )
    assert Supervisor(home, [service]).run() == ""
    assert len(done.read_text().splitlines()) >= 3
    assert "slow: its upkeep ended with 3" in caplog.text
    assert belonging_to(home) == []


def test_nothing_starts_after_everything_was_stopped(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM while a service is prepared, which takes longer than to stop all the others.

    The last state says that it was a stop.
    """
    stopped = threading.Event()

    def end_and_tell(processes: object, timeout_s: float | None = None) -> None:
        end_all(belonging_to(home))
        if timeout_s is None:  # with one, it is what a service left behind before it starts
            stopped.set()

    def prepare() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(30)

    monkeypatch.setattr(supervisor, "end_all", end_and_tell)
    slow = Service("slow", ("sleep", "600"), lambda: False, prepare=prepare)
    waiting = replace(slow, name="waiting", needs=("slow",))
    assert Supervisor(home, [slow, waiting]).run() == ""
    assert belonging_to(home) == []
    state = read_state(home)
    assert state is not None and state.stopped
