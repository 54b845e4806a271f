"""Logs are kept small, and those of old runs are deleted."""

from __future__ import annotations

import os
from pathlib import Path

from watershed.stack.logs import LOG_BYTES, RUNS_KEPT_S, remove_old, trim

NOW = 1_800_000_000.0


def _run(logs: Path, name: str, age_s: float) -> Path:
    folder = logs / "airflow" / name
    (folder / "task_id=load").mkdir(parents=True)
    (folder / "task_id=load" / "attempt=1.log").write_text("loaded\n")
    os.utime(folder, (NOW - age_s, NOW - age_s))
    return folder


def test_runs_are_forgotten_when_they_are_old_enough(tmp_path: Path) -> None:
    old = _run(tmp_path, "dag_id=enrich/run_id=1", RUNS_KEPT_S + 1)
    new = _run(tmp_path, "dag_id=enrich/run_id=2", RUNS_KEPT_S - 1)
    parsed = _run(tmp_path, "dag_processor/2026-01-31", RUNS_KEPT_S + 1)
    remove_old(tmp_path, NOW)
    assert not old.exists()
    assert new.exists()
    assert not parsed.exists()


def test_a_service_s_log_and_one_older_copy_stay(tmp_path: Path) -> None:
    full, small = tmp_path / "kafka.log", tmp_path / "redis.log"
    with full.open("wb") as file:
        file.truncate(LOG_BYTES + 1)
    small.write_text("ready\n")
    trim(tmp_path)
    assert full.stat().st_size == 0
    assert full.with_suffix(".log.1").stat().st_size == LOG_BYTES + 1
    assert small.read_text() == "ready\n"
