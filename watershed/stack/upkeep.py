"""What a service needs done now and then while it runs."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from watershed.stack.home import Home
from watershed.stack.processes import spawn
from watershed.stack.service import Service

EVERY_S = 6 * 3600
"""Also a stack that is stopped each night gets there."""

log = logging.getLogger("watershed.supervisor")


def keep_up(service: Service, home: Home, stopping: threading.Event, lock: threading.Lock) -> None:
    """Do a service's upkeep until the stack stops: the body of a thread.

    ``lock`` is held while a process starts, so that a stop sees every one.
    """
    while service.upkeep is not None and not stopping.wait(EVERY_S):
        with lock:
            if stopping.is_set():
                return
            process = spawn(replace(service, command=service.upkeep()), home)
        if process.wait() and not stopping.is_set():
            log.warning("%s: its upkeep ended with %s", service.name, process.returncode)
