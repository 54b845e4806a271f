"""Programs of Spark's on the stack, each in a process of its own: a JVM keeps its class path."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.stack import Stack
from watershed.settings import Settings
from watershed.stack.home import ROOT
from watershed.stack.processes import environment
from watershed.stack.spark import spark_environment

TIMEOUT_S = 200


def start(stack: Stack, settings: Settings, *command: str, **more: str) -> subprocess.Popen[str]:
    """Start a Python program with settings that may differ from the stack's, and variables."""
    own = {
        "WATERSHED_SCHEMAS_DIR": str(settings.schemas_dir),
        "WATERSHED_SCRATCH_DIR": str(settings.scratch_dir),
        "WATERSHED_LAKE_DIR": str(settings.lake_dir),
        "WATERSHED_POSTGRES_DATABASE": settings.postgres_database,
    }
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(stack.home) | spark_environment() | own | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(
    stack: Stack, settings: Settings, *command: str, code: int = 0, **more: str
) -> tuple[str, str]:
    """What a program printed, and its log; it must end with ``code``."""
    process = start(stack, settings, *command, **more)
    printed, logged = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == code, logged[-3000:]
    return printed, logged


def arrived(
    stack: Stack, settings: Settings, event_type: str, start: datetime, end: datetime
) -> dict[str, Any]:
    """What :mod:`watershed.spark.raw` reads of an interval, as
    :mod:`tests.support.programs.arrived` prints it."""
    times = [start.isoformat(), end.isoformat()]
    printed, _ = run(stack, settings, "-m", "tests.support.programs.arrived", event_type, *times)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


JOB = str(Path("jobs") / "enrich_intervals.py")
