"""Commands of the project's own environment as tasks: ``python -m watershed …``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from watershed.orchestration.processes import PARENT, end_group
from watershed.orchestration.project import ROOT

PYTHON = "WATERSHED_PYTHON"
"""Names the interpreter that has the project's packages; Airflow's own has not all of them."""


Judge = Callable[[int, str], dict[str, Any]]
"""Makes a task's numbers of an exit code and standard output, or raises what is wrong."""


class Command(BaseOperator):
    """Runs ``./ws`` with templated arguments, and lets ``judge`` say what came of it.

    Its standard error goes to the task's log. What it started ends with the task.
    """

    template_fields: Sequence[str] = ("arguments",)

    def __init__(self, *, arguments: Sequence[str], judge: Judge, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arguments = list(arguments)
        self.judge = judge
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  # Airflow passes it
        python = os.environ.get(PYTHON)
        if not python:
            raise AirflowFailException(
                f"{PYTHON} is not set\n  -> name the interpreter of the project's environment"
            )
        command = [python, "-m", "watershed", *self.arguments]
        self.log.info("runs %s", " ".join(command))
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        output, _ = self._process.communicate()
        return self.judge(self._process.returncode, output)

    def on_kill(self) -> None:
        if self._process:
            end_group(self._process)
