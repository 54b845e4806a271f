"""Starts a stack's supervisor, and ends it with all that it started."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from watershed.stack.home import ROOT, Home
from watershed.stack.processes import belonging_to, end_all
from watershed.stack.state import read_state, running

STOP_TIMEOUT_S = 150


SUPERVISOR = "watershed.stack.supervise"


def launch(home: Home, program: str, *options: int) -> subprocess.Popen[bytes]:
    """Start SUPERVISOR, or a program like it, in a session of its own: Ctrl-C does not reach it."""
    (home.run / "state.json").unlink(missing_ok=True)  # the last run's says nothing of this one
    arguments = home.path, home.port_offset, *options
    with home.log("supervisor").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", program, *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def stop(home: Home, supervisor: int | None = None) -> None:
    """End the supervisor, which ends the rest; then whatever a killed one left behind.

    ``supervisor`` is its process id where that is known: a new one has not written it down yet.
    """
    state = read_state(home)
    if supervisor is None and state and running(home):
        supervisor = state.pid
    if supervisor is not None:
        _end_supervisor(supervisor)
    if not running(home):  # another supervisor's services are its own
        end_all(belonging_to(home))


def _end_supervisor(pid: int) -> None:
    try:
        supervisor = psutil.Process(pid)
        supervisor.terminate()
        supervisor.wait(STOP_TIMEOUT_S)
    except psutil.NoSuchProcess:
        return  # it ended meanwhile
    except psutil.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()
