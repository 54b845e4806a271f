"""The enrichment job as a process of the local stack, for commands that settle intervals."""

from __future__ import annotations

import os
import subprocess
import sys

from watershed.batch.attempts import Attempt
from watershed.errors import StackError
from watershed.settings import PREFIX
from watershed.stack.home import ROOT, Home
from watershed.stack.processes import environment
from watershed.stack.spark import spark_environment

LOG = "rebuild"
SHOWN = 3


def enrich(home: Home, attempt: Attempt) -> None:
    """Run ``jobs/enrich_intervals.py`` for an attempt, with its output in ``logs/rebuild.log``.

    It ends with this process, and with the stack. Raises StackError with its last lines.
    """
    own = {f"{PREFIX}PARENT_PID": str(os.getpid())}
    job = ROOT / "jobs" / "enrich_intervals.py"
    with home.log(LOG).open("ab") as log:
        done = subprocess.run(
            [sys.executable, str(job), "--attempt", str(attempt.attempt)],
            cwd=ROOT,
            env=environment(home) | spark_environment() | own,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        last = home.log(LOG).read_text(errors="replace").splitlines()[-SHOWN:]
        raise StackError(
            "\n".join(
                [f"the job of attempt {attempt.attempt} ended with {done.returncode}", *last]
            ),
            f"./ws logs {LOG} has all of it; run the command again, it goes on where it was",
        )
