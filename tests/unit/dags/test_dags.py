"""Every DAG: it is there, it renders, it has what a person in the UI needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.dags import describe
from watershed.stack.home import ROOT

COMMANDS = Path(__file__).with_name("commands.json")

# Each DAG with its tasks, and after which other tasks each comes.
ENRICH = {
    "gate": [],
    "begin": ["gate"],
    "load": ["begin"],
    "check": ["begin", "load"],
    "publish": ["begin", "check"],
    "reconcile": ["begin", "publish"],
}
DAGS: dict[str, dict[str, list[str]]] = {
    "audit": {"audit": []},
    "enrich_transaction": ENRICH,
    "export_lake": {"export": []},
    "heartbeat": {"check_streams": []},
    "refresh_reference": {"refresh": []},
    "replay_quarantine": {"replay": []},
    "retention": {"prune": []},
}
CRON = {
    "audit": "17 2 * * *",
    "enrich_transaction": "*/5 * * * *",
    "export_lake": "37 0 * * *",
    "heartbeat": "*/5 * * * *",
    "refresh_reference": "7 1 * * *",
    "retention": "23 */6 * * *",
}
PARAMS = {
    "audit": {"since"},
    "enrich_transaction": {"start", "end", "reference"},
    "replay_quarantine": {"type", "partition", "first", "last", "reason", "value"},
}


def test_every_dag_is_listed_here(found: Any) -> None:
    assert found["errors"] == {}
    assert set(found["dags"]) == set(DAGS)


@pytest.mark.parametrize("name", DAGS)
def test_tasks_come_in_order(name: str, dags: dict[str, Any]) -> None:
    tasks = dags[name]["tasks"]
    assert {task: one["after"] for task, one in tasks.items()} == DAGS[name]


@pytest.mark.parametrize("name", DAGS)
def test_schedule(name: str, dags: dict[str, Any]) -> None:
    found = dags[name]
    assert found["schedule"].get("expression") == CRON.get(name)
    assert found["schedule"].get("timezone", "UTC") == "UTC"
    assert (found["catchup"], found["max_active_runs"], found["paused"]) == (False, 1, False)


def test_the_partition_key_is_the_start_of_the_interval_before(dags: dict[str, Any]) -> None:
    schedule = dags["enrich_transaction"]["schedule"]
    assert schedule["class"] == "CronPartitionTimetable"
    assert (schedule["run_offset"], schedule["key_format"]) == (-1, "%Y-%m-%dT%H:%M")


def test_reference_data_is_refreshed_at_the_first_start(dags: dict[str, Any]) -> None:
    assert dags["refresh_reference"]["schedule"]["run_immediately"] is True


@pytest.mark.parametrize("name", DAGS)
def test_its_page_says_what_why_and_what_to_do(name: str, dags: dict[str, Any]) -> None:
    found = dags[name]
    assert found["doc"].startswith("### ")
    assert "{type}" not in found["doc"]
    assert "fails" in found["doc"]
    assert "**Why.**" in found["doc"]
    assert found["description"]
    assert found["tags"]


@pytest.mark.parametrize("name", DAGS)
def test_every_task_alerts_ends_and_has_an_owner(name: str, dags: dict[str, Any]) -> None:
    for task in dags[name]["tasks"].values():
        assert task["alerts"] == ["alert_failure"]
        assert task["timeout_s"] > 0
        assert task["owner"] == "data-engineering"


def test_what_is_tried_again(dags: dict[str, Any]) -> None:
    retries = {
        f"{name}.{task}": one["retries"]
        for name, dag in dags.items()
        for task, one in dag["tasks"].items()
    }
    never = {"heartbeat.check_streams", "enrich_transaction.gate"}
    assert {name for name, count in retries.items() if count == 0} == never
    assert {count for name, count in retries.items() if name not in never} == {3}


@pytest.mark.parametrize("name", DAGS)
def test_forms_explain_their_fields(name: str, dags: dict[str, Any]) -> None:
    params = dags[name]["params"]
    assert set(params) == PARAMS.get(name, set())
    for param in params.values():
        assert param["about"]
        assert param["schema"]["title"]
        assert param["schema"]["type"]


def test_reference_data_is_as_it_was_published_unless_asked(dags: dict[str, Any]) -> None:
    found = dags["enrich_transaction"]["params"]["reference"]
    assert found["default"] == "as published"
    assert found["schema"]["enum"] == ["as published", "newest"]


def test_only_known_event_types_are_replayed(dags: dict[str, Any]) -> None:
    assert dags["replay_quarantine"]["params"]["type"]["schema"]["enum"] == ["transaction"]


def test_spark_runs_one_job_at_a_time(dags: dict[str, Any]) -> None:
    pools = {
        f"{name}.{task}": one["pool"]
        for name, dag in dags.items()
        for task, one in dag["tasks"].items()
        if one["class"] == "SparkJob"
    }
    assert set(pools) == set(json.loads(COMMANDS.read_text()))
    assert set(pools.values()) == {"spark"}


def test_what_spark_submit_is_given_is_what_was_recorded(dags: dict[str, Any]) -> None:
    commands = {
        f"{name}.{task}": [word.replace(str(ROOT), ".") for word in one["command"]]
        for name, dag in dags.items()
        for task, one in dag["tasks"].items()
        if one["command"]
    }
    assert commands == json.loads(COMMANDS.read_text())


def test_every_job_is_there(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for task in dag["tasks"].values():
            for word in task["command"] or []:
                assert not word.endswith(".py") or Path(word).is_file()


def test_the_report_is_updated_last(dags: dict[str, Any]) -> None:
    outlets = {name: dag["outlets"] for name, dag in dags["enrich_transaction"]["tasks"].items()}
    assert outlets.pop("reconcile") == ["report.transaction"]
    assert not any(outlets.values())


def test_the_schedule_follows_the_setting(tmp_path: Path) -> None:
    found = describe(tmp_path, WATERSHED_BATCH_INTERVAL_S="3600")
    assert found["dags"]["enrich_transaction"]["schedule"]["expression"] == "0 * * * *"


def test_an_interval_without_a_schedule_is_an_error_in_the_ui(tmp_path: Path) -> None:
    found = describe(tmp_path, WATERSHED_BATCH_INTERVAL_S="420")
    [error] = found["errors"].values()
    assert "WATERSHED_BATCH_INTERVAL_S=420" in error
    assert set(DAGS) - set(found["dags"]) == {"enrich_transaction"}
