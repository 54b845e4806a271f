"""Takes a gate through all that may become of it: run by Airflow's Python, without a server.

Prints the trigger that it waits with, the failure once its time is up, and the name of the event
that ends it in success.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.module_loading import import_string

from watershed.orchestration import gate
from watershed.orchestration.gate import Gate

PAST = "2026-01-01T00:00:00+00:00"
CONTEXT = cast("Context", {"params": {}, "partition_key": "2026-01-31T12:00"})


def entered(task: Gate) -> TaskDeferred:
    try:
        task.execute(CONTEXT)
    except TaskDeferred as waits:
        return waits
    raise AssertionError


def event(waits: TaskDeferred, **changes: str) -> Any:
    """The first event of a trigger that a triggerer has made again."""
    name, arguments = waits.trigger.serialize()
    trigger = import_string(name)(**arguments | changes)

    async def first() -> Any:
        return await anext(trigger.run())

    return asyncio.run(first())


def gave_up(task: Gate, waits: TaskDeferred) -> str:
    """What the task fails with once its time is up."""
    kwargs = {"event": event(waits, deadline=PAST).payload}
    try:
        task.resume_execution(waits.method_name, kwargs, CONTEXT)
    except AirflowFailException as error:
        return str(error)
    raise AssertionError


def opened(waits: TaskDeferred) -> str:
    """What ends the wait when what was missing comes in time."""
    answers = ["missing", "missing", None]
    gate.POLL_S = 0.01
    gate.missing_now = lambda *_: answers.pop(0)
    return type(event(waits)).__name__


def main() -> None:
    task = Gate(task_id="gate", event_type="transaction", interval_s=300, timeout_s=60)
    waits = entered(task)
    print(json.dumps([waits.trigger.serialize(), gave_up(task, waits), opened(waits)]))


if __name__ == "__main__":
    main()
