"""A Spark job's task says why the job ended, not with which command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.support.dags import PROGRAMS, printed

RUN = PROGRAMS / "run_job.py"
ERROR = "2026-11-25 10:14:08,675 ERROR   watershed.enrich attempt 7 has no query\n  -> add it"


def run(folder: Path, prints: str, code: int) -> Any:
    """How the task ends, with a ``spark-submit`` that prints on standard error and ends."""
    submit = folder / "spark-submit"
    submit.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{prints}\nEND\nexit {code}\n")
    submit.chmod(0o755)
    return printed(folder, RUN, PATH=f"{folder}{os.pathsep}{os.defpath}")


def test_it_fails_with_cause_and_remedy(tmp_path: Path) -> None:
    """And is tried again, though Spark has gone on printing for long."""
    after = "\tat org.apache.spark.Some.where(Some.scala:1)\n" * 100
    said = "attempt 7 has no query\n  -> add it"
    assert run(tmp_path, f"{ERROR}\n{after}", 1) == {"tried again": True, "said": said}


def test_it_succeeds_with_its_seconds(tmp_path: Path) -> None:
    assert run(tmp_path, ERROR, 0) == ["seconds"]
