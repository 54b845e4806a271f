"""A stack of the benchmark's own: the servers without the stream, gone with their data at the end.

Its supervisor is a process of its own: ``python -m benchmarks.servers HOME PORT_OFFSET``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watershed.cli.stack import destroy
from watershed.errors import StackError, WatershedError
from watershed.stack.checks import problems
from watershed.stack.home import ROOT, Home
from watershed.stack.launcher import launch
from watershed.stack.processes import environment
from watershed.stack.service import Service
from watershed.stack.services import services
from watershed.stack.services.mariadb import mariadb
from watershed.stack.spark import spark_environment
from watershed.stack.state import read_state
from watershed.stack.supervise import supervise

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
    process = launch(home, "benchmarks.servers")
    try:
        _wait_ready(home, process)
        yield
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)
        destroy(home.path, yes=True)


def run(home: Home, *arguments: str) -> str:
    """What a program of Spark's printed that ran in the stack's environment.

    ``arguments`` are Python's. Raises WatershedError.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(home) | spark_environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise WatershedError(f"{' '.join(arguments[:2])} failed: {done.stderr[-1200:]}")
    return done.stdout


def _wait_ready(home: Home, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ((state := read_state(home)) and state.ready):
        if process.poll() is not None or time.monotonic() > deadline:
            cause = (state and state.error) or home.log("supervisor").read_text()[-600:]
            raise StackError(f"the benchmark's servers did not start: {cause}")
        time.sleep(POLL_S)


def main(path: str, port_offset: str) -> int:
    """The supervisor's process."""
    return supervise(Home.open(Path(path), int(port_offset)), _services)


def _services(home: Home) -> list[Service]:
    alone = [service for service in services(home, rate=0) if not service.needs]
    return [*alone, mariadb(home)]


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
