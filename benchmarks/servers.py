"""A stack of the benchmark's own: the servers without the stream, gone with their data at the end.

Its supervisor is a process of its own: ``python -m benchmarks.servers HOME PORT_OFFSET``.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watershed.cli.stack import destroy
from watershed.errors import StackError
from watershed.stack.checks import problems
from watershed.stack.home import ROOT, Home
from watershed.stack.services import services
from watershed.stack.services.mariadb import mariadb
from watershed.stack.state import hold, read_state
from watershed.stack.supervisor import Supervisor

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 150
POLL_S = 0.25


@contextmanager
def servers(home: Home) -> Iterator[None]:
    """Kafka, Cassandra, the databases and Redis, ready; everything in ``home`` is deleted after.

    Raises StackError when something is missing, or when there is a stack in ``home`` already.
    """
    if home.exists:
        raise StackError(
            f"there is a stack in {home.path}",
            f"./ws destroy --home {home.path}, if it is a benchmark's that was interrupted",
        )
    if found := problems(home):
        raise StackError("cannot start:\n  " + "\n  ".join(found), "then start it again")
    home.path.mkdir(parents=True, exist_ok=True)
    process = _launch(home)
    try:
        _wait_ready(home, process)
        yield
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)
        destroy(home.path, yes=True)


def _launch(home: Home) -> subprocess.Popen[bytes]:
    with home.log("supervisor").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(home.path), str(home.port_offset)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_ready(home: Home, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ((state := read_state(home)) and state.ready):
        if process.poll() is not None or time.monotonic() > deadline:
            cause = (state and state.error) or home.log("supervisor").read_text()[-600:]
            raise StackError(f"the benchmark's servers did not start: {cause}")
        time.sleep(POLL_S)


def main(path: str, port_offset: str) -> int:
    """The supervisor's process; exit code 1 when it gave up."""
    os.umask(0o077)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)-7s %(message)s")
    for noisy in ("kafka", "cassandra", "alembic"):
        logging.getLogger(noisy).setLevel("ERROR")
    home = Home.open(Path(path), int(port_offset))
    lock = hold(home)
    if lock is None:
        raise StackError(f"a stack is running in {home.path} already")
    home.prepare()
    alone = [service for service in services(home, rate=0) if not service.needs]
    return 1 if Supervisor(home, [*alone, mariadb(home)]).run() else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
