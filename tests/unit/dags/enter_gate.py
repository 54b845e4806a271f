"""Enters a gate and prints what it waits with: run by Airflow's Python, without a server."""

from __future__ import annotations

import json
from typing import cast

from airflow.sdk import Context
from airflow.sdk.exceptions import TaskDeferred

from watershed.orchestration.gate import Gate


def main() -> None:
    gate = Gate(task_id="gate", event_type="transaction", interval_s=300, timeout_s=60)
    context = cast("Context", {"params": {}, "partition_key": "2026-01-31T12:00"})
    try:
        gate.execute(context)
    except TaskDeferred as waits:
        print(json.dumps(waits.trigger.serialize()))


if __name__ == "__main__":
    main()
