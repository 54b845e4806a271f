"""The supervisor's process.

``python -m watershed.stack.supervise HOME PORT_OFFSET RATE BATCH``, the last 1 or 0.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from watershed.errors import StackError
from watershed.stack.home import Home
from watershed.stack.processes import belonging_to, end_all
from watershed.stack.service import Service
from watershed.stack.services import services
from watershed.stack.state import StackState, hold
from watershed.stack.supervisor import Supervisor


def supervise(home: Home, wanted: Callable[[Home], list[Service]]) -> int:
    """Be the supervisor of a home's services: the exit code, 1 when the stack gave up.

    Raises StackError when it has one already.
    """
    os.umask(0o077)  # whatever a server writes is its owner's alone
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)-7s %(message)s")
    for noisy in ("kafka", "cassandra", "alembic"):
        logging.getLogger(noisy).setLevel("ERROR")
    lock = hold(home)
    if lock is None:
        raise StackError(f"a stack is running in {home.path} already")
    StackState(pid=os.getpid()).write(home)  # from now on a stop finds this process
    end_all(process for process in belonging_to(home) if process.pid != psutil.Process().pid)
    home.prepare()
    return 1 if Supervisor(home, wanted(home)).run() else 0


def main(path: str, port_offset: str, rate: str, batch: str) -> int:
    """The supervisor's process."""
    home = Home.open(Path(path), int(port_offset))
    return supervise(home, lambda home: services(home, int(rate), batch=bool(int(batch))))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
