"""The enrichment job as a process of this machine, for commands that publish intervals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from watershed.batch.attempts import Attempt
from watershed.errors import StackError
from watershed.settings import PREFIX, Settings
from watershed.stack.home import ROOT, Home
from watershed.stack.processes import environment
from watershed.stack.spark import spark_environment

LOG = "rebuild"
SHOWN = 3


def enrich_in(home: Home, attempt: Attempt) -> None:
    """Run the job of an attempt with the settings of a local stack, and its log among the stack's.

    It ends with this process, and with the stack. Raises StackError with its last lines.
    """
    _enrich(attempt, environment(home) | spark_environment(), home.log(LOG))


def enrich_here(settings: Settings, attempt: Attempt) -> None:
    """Run the job of an attempt with the settings of this process, and its log in the scratch
    folder; the connectors are fetched where ``spark_jars`` names none. Raises StackError."""
    spark = {} if settings.spark_jars else spark_environment()
    settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    _enrich(attempt, {**os.environ, **spark}, settings.scratch_dir / f"{LOG}.log")


def _enrich(attempt: Attempt, variables: Mapping[str, str], path: Path) -> None:
    job = ROOT / "jobs" / "enrich_intervals.py"
    own = {f"{PREFIX}PARENT_PID": str(os.getpid()), "PYTHONPATH": str(ROOT)}
    with path.open("ab") as log:
        done = subprocess.run(
            [sys.executable, str(job), "--attempt", str(attempt.attempt)],
            cwd=ROOT,
            env={**variables, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        last = path.read_text(errors="replace").splitlines()[-SHOWN:]
        raise StackError(
            "\n".join(
                [f"the job of attempt {attempt.attempt} ended with {done.returncode}", *last]
            ),
            f"{path} has all of it; run the command again, it goes on where it was",
        )
