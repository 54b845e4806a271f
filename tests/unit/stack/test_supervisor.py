"""A supervisor that is told to stop leaves nothing behind, whatever it was about to start."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from watershed.stack import supervisor
from watershed.stack.home import Home
from watershed.stack.processes import belonging_to, end_all
from watershed.stack.service import Service
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


def test_nothing_starts_after_everything_was_stopped(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM while a service is prepared, which takes longer than to stop all the others."""
    stopped = threading.Event()

    def end_and_tell(processes: object) -> None:
        end_all(belonging_to(home))
        stopped.set()

    def prepare() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(30)

    monkeypatch.setattr(supervisor, "end_all", end_and_tell)
    slow = Service("slow", ("sleep", "600"), lambda: False, prepare=prepare)
    assert Supervisor(home, [slow]).run() == ""
    assert belonging_to(home) == []
