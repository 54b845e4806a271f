"""What a stop ends: this stack's processes, and those of no other supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from watershed.stack.home import Home
from watershed.stack.launcher import stop
from watershed.stack.processes import MARK
from watershed.stack.state import hold

WAITING = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.open(tmp_path)


@pytest.fixture
def service(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the home's mark."""
    process = subprocess.Popen(WAITING, env=os.environ | {MARK: str(home.path)})
    yield process
    process.kill()
    process.wait()


def test_a_supervisor_that_has_written_nothing_yet_is_ended(
    home: Home, service: subprocess.Popen[bytes]
) -> None:
    supervisor = subprocess.Popen(WAITING)
    stop(home, supervisor.pid)
    assert supervisor.poll() is not None
    assert service.poll() is not None


def test_services_of_another_supervisor_are_left_alone(
    home: Home, service: subprocess.Popen[bytes]
) -> None:
    """As when two starts met: the second one finds the home taken, and gives up."""
    lock = hold(home)
    assert lock is not None
    second = subprocess.Popen([sys.executable, "-c", ""])
    stop(home, second.pid)
    assert service.poll() is None
    lock.close()
    stop(home)
    assert service.poll() is not None
