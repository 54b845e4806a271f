"""Processes that a task starts, each the leader of a group that ends with the task."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from subprocess import Popen
from typing import Any

PARENT = "WATERSHED_PARENT_PID"
"""Names the task's process to what it starts, which ends when that is gone, however it went."""

TERM_S = 3.0
"""Airflow kills a task five seconds after it asked it to end."""

POLL_S = 0.05


def end_group(process: Popen[Any]) -> None:
    """End a process that leads a group, and the group: asked first, killed after ``TERM_S``."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + TERM_S
        while _lives(process) and time.monotonic() < deadline:
            time.sleep(POLL_S)


def _lives(process: Popen[Any]) -> bool:
    """Whether anyone of the group is left; asks the leader how it ended, or it would stay."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
