"""Runs a Spark job's task and prints how it ended: run by Airflow's Python, without a server."""

from __future__ import annotations

import json
from typing import cast

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from watershed.orchestration.spark import SparkJob


def main() -> None:
    try:
        done = SparkJob(task_id="load", job="enrich_intervals.py").execute(cast("Context", {}))
    except AirflowException as error:
        again = not isinstance(error, AirflowFailException)
        print(json.dumps({"tried again": again, "said": str(error)}))
    else:
        print(json.dumps(list(done)))


if __name__ == "__main__":
    main()
