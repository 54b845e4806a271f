"""The logs of a stack: what keeps them small."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

LOG_BYTES = 32 * 2**20
RUNS_KEPT_S = 14 * 86_400
"""How long the logs of a run of Airflow's are kept; each try of each task has a file of its own."""

RUNS = ("airflow/dag_id=*/run_id=*", "airflow/dag_processor/*-*-*")

log = logging.getLogger("watershed.supervisor")


def trim(logs: Path) -> None:
    """Keep each service's log and one older copy below LOG_BYTES; writers append unawares."""
    for path in logs.glob("*.log"):
        if path.stat().st_size > LOG_BYTES:
            try:
                shutil.copyfile(path, path.with_suffix(".log.1"))
            except OSError as error:
                log.warning("%s not kept: %s", path, error)
            os.truncate(path, 0)


def remove_old(logs: Path, now: float) -> None:
    """Delete what Airflow wrote about runs, and of days, RUNS_KEPT_S before ``now`` and earlier.

    ``now`` is in seconds since 1970.
    """
    for folder in (found for pattern in RUNS for found in logs.glob(pattern)):
        if folder.stat().st_mtime < now - RUNS_KEPT_S:
            try:
                shutil.rmtree(folder)
            except OSError as error:  # one of its tasks is done again just now
                log.warning("%s not deleted: %s", folder, error)
