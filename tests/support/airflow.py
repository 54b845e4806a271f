"""Airflow as a data engineer's browser sees it: a small client of its REST API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.support.stack import Stack, wait_until

ENDED = ("success", "failed")
TIMEOUT_S = 30


@dataclass
class Airflow:
    """One Airflow, signed in to as its administrator."""

    stack: Stack
    _token: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.stack.home.ports.airflow}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers; raises HTTPError, with what it said in its message."""
        if not self._token:
            password = self.stack.home.secret("airflow_password")
            signed_in = {"username": "admin", "password": password}
            self._token = self._send("POST", "/auth/token", signed_in)["access_token"]
        return self._send(method, f"/api/v2{path}", body)

    def _send(self, method: str, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None
        return json.loads(text) if text else None

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """The runs of a DAG, the newest first."""
        found = self.call("GET", f"/dags/{dag}/dagRuns?order_by=-run_after&limit=100")
        runs: list[dict[str, Any]] = found["dag_runs"]
        return runs

    def trigger(self, dag: str, key: str | None = None, **params: Any) -> Run:
        """Begin a run by hand, with a partition key or what a form has."""
        body = {"logical_date": None, "partition_key": key, "conf": params}
        run: str = self.call("POST", f"/dags/{dag}/dagRuns", body)["dag_run_id"]
        return Run(self, dag, run)

    def backfill(self, dag: str, first: str, last: str, **params: Any) -> list[Run]:
        """Back-fill the partitions from one moment to another, both included."""
        body = {
            "dag_id": dag,
            "from_date": first,
            "to_date": last,
            "dag_run_conf": params,
            "reprocess_behavior": "completed",
            "max_active_runs": 1,
        }
        number = self.call("POST", "/backfills", body)["id"]
        wait_until(
            lambda: self.call("GET", f"/backfills/{number}")["completed_at"] is not None,
            f"backfill {number} is done",
            300,
        )
        found = [run for run in self.runs(dag) if run["run_type"] == "backfill"]
        return [Run(self, dag, one["dag_run_id"]) for one in found]


@dataclass(frozen=True)
class Run:
    """One run of a DAG."""

    airflow: Airflow
    dag: str
    run_id: str

    @property
    def _path(self) -> str:
        return f"/dags/{self.dag}/dagRuns/{quote(self.run_id, safe='')}"

    def state(self) -> str:
        found: str = self.airflow.call("GET", self._path)["state"]
        return found

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Each task's instance as it is now."""
        found = self.airflow.call("GET", f"{self._path}/taskInstances")["task_instances"]
        return {one["task_id"]: one for one in found}

    def wait_task(self, task: str, *states: str, tries: int = 1, timeout_s: float = 200) -> None:
        """Wait until a task is in one of the states, in its try of that number or a later one."""

        def is_there() -> bool:
            one = self.tasks()[task]
            return one["state"] in states and one["try_number"] >= tries

        wait_until(is_there, f"{task} of {self.run_id} is {' or '.join(states)}", timeout_s)

    def wait(self, timeout_s: float = 240) -> str:
        """Wait until the run has ended; how."""
        wait_until(lambda: self.state() in ENDED, f"{self.run_id} has ended", timeout_s)
        return self.state()

    def numbers(self, task: str) -> Any:
        """What a task returned."""
        path = f"{self._path}/taskInstances/{task}/xcomEntries/return_value"
        return self.airflow.call("GET", path)["value"]

    def clear(self, task: str) -> None:
        """Clear a task with all that follows it."""
        body = {
            "dry_run": False,
            "only_failed": False,
            "dag_run_id": self.run_id,
            "task_ids": [task],
            "include_downstream": True,
        }
        self.airflow.call("POST", f"/dags/{self.dag}/clearTaskInstances", body)

    def fail(self, task: str) -> None:
        """Mark a task as failed, as a person does who wants it to end."""
        self.airflow.call("PATCH", f"{self._path}/taskInstances/{task}", {"new_state": "failed"})
