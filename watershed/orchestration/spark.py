"""Spark jobs as tasks: one at a time, and none outlives its task."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseHook, Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
)

from watershed.jvm import driver_options
from watershed.orchestration import messages
from watershed.orchestration.processes import PARENT, end_group
from watershed.orchestration.project import ROOT
from watershed.settings import load_settings

CONNECTION = "spark"
POOL = "spark"
"""One slot: a second Spark beside the stream and the servers would not fit on two cores."""

KEPT_LINES = 500
"""Of a job's output: the provider keeps 20, and a Java stack trace has more."""


class SparkJob(SparkSubmitOperator):
    """``spark-submit`` of a file in ``jobs/``, with all its processes in a group of its own.

    The driver runs where the task does (client mode), so that its log is the task's, and killing
    the task ends it.
    """

    def __init__(self, *, job: str, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        settings = load_settings()
        super().__init__(
            **{
                "application": str(ROOT / "jobs" / job),
                "application_args": list(arguments),
                "name": job.removesuffix(".py"),
                "conn_id": CONNECTION,
                "pool": POOL,
                "execution_timeout": timedelta(hours=2),
                # What the driver's JVM must know before the job's own settings are read.
                "driver_memory": f"{settings.spark_driver_memory_mb}m",
                "driver_class_path": settings.spark_jars or None,
                "conf": {"spark.driver.extraJavaOptions": driver_options(settings)},
                "durable": False,  # of cluster modes: here a retry has nothing to find again
                **kwargs,
            }
        )

    def execute(self, context: Context) -> dict[str, float]:  # noqa: ARG002  # Airflow passes it
        """Seconds that the job took. Raises AirflowException, which is tried again, with the cause
        and the remedy that it logged."""
        check_connection(self._conn_id)
        started = time.monotonic()
        self._hook = self._get_hook()
        self._hook._last_submit_log_lines = deque(maxlen=KEPT_LINES)
        try:
            self._hook.submit(
                self.application,
                start_new_session=True,
                env=os.environ | {PARENT: str(os.getpid())},
            )
        except AirflowException:
            process = self._hook._submit_sp
            if process is None:
                raise
            # The provider's begins with the command, and ``./ws status`` shows the first line.
            said = messages.job_failure(list(self._hook._last_submit_log_lines), process.returncode)
            raise AirflowException(said) from None
        return {"seconds": round(time.monotonic() - started, 1)}

    def on_kill(self) -> None:
        """Called on a kill, a clear and a timeout."""
        process = self._hook and self._hook._submit_sp
        if process:
            end_group(process)


def check_connection(name: str) -> None:
    """Raise AirflowFailException unless there is such a connection, and it is in client mode.

    The provider takes an unknown name for ``yarn``.
    """
    try:
        connection = BaseHook.get_connection(name)
    except AirflowNotFoundException:
        raise AirflowFailException(
            f"Airflow has no connection {name!r}\n  -> set AIRFLOW_CONN_{name.upper()} to"
            ' {"conn_type": "spark", "host": "local[2]"} for every process of Airflow\'s'
        ) from None
    if connection.extra_dejson.get("deploy-mode", "client") != "client":
        raise AirflowFailException(
            f"connection {name!r} is in cluster mode: a killed task would leave its driver behind\n"
            "  -> take deploy-mode out of its extra"
        )
