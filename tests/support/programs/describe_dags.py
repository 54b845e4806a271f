"""Prints every DAG of a folder as JSON: run by Airflow's Python, without a server.

    python describe.py FOLDER

Templates are rendered for an attempt 17, in a run of the partition key 2026-01-31T12:00.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG

PARAMS = {"since": "26h"}


class Instance:
    """What templates ask a task instance for."""

    def xcom_pull(self, task_ids: str) -> dict[str, int]:
        return {"begin": {"attempt": 17}}[task_ids]


def described(dag: DAG) -> dict[str, Any]:
    return {
        "schedule": _schedule(dag),
        "doc": dag.doc_md or "",
        "description": dag.description,
        "tags": sorted(dag.tags),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "paused": dag.is_paused_upon_creation,
        "params": {name: _param(dag.params.get_param(name)) for name in dag.params},
        "tasks": {task.task_id: _task(task) for task in dag.tasks},
    }


def _schedule(dag: DAG) -> dict[str, Any]:
    timetable = dag.timetable
    names = ("expression", "run_offset", "key_format", "run_immediately", "timezone")
    found = {name: getattr(timetable, name) for name in names if hasattr(timetable, name)}
    return {"class": type(timetable).__name__} | {n: _plain(v) for n, v in found.items()}


def _param(param: Any) -> dict[str, Any]:
    return {"default": param.dump()["value"], "schema": param.schema, "about": param.description}


def _task(task: Any) -> dict[str, Any]:
    return {
        "class": type(task).__name__,
        "owner": task.owner,
        "after": sorted(task.upstream_task_ids),
        "pool": task.pool,
        "retries": task.retries,
        "timeout_s": task.execution_timeout and task.execution_timeout.total_seconds(),
        "alerts": [callback.func.__name__ for callback in _callbacks(task)],
        "outlets": [outlet.name for outlet in task.outlets],
        "command": _command(task),
    }


def _callbacks(task: Any) -> list[Any]:
    found = task.on_failure_callback or []
    return list(found) if isinstance(found, list | tuple) else [found]


def _command(task: Any) -> list[str] | None:
    """What a Spark task runs."""
    if not isinstance(task, SparkSubmitOperator):
        return None
    task.render_template_fields({"ti": Instance(), "params": PARAMS})
    hook = task._get_hook()
    command: list[str] = hook._build_spark_submit_command(task.application)
    return command


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def main(folder: str) -> None:
    logging.disable()
    bag = DagBag(folder)
    print(
        json.dumps(
            {
                "errors": bag.import_errors,
                "dags": {name: described(dag) for name, dag in sorted(bag.dags.items())},
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
