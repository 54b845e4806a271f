"""A job ends once whoever started it is gone."""

from __future__ import annotations

import subprocess
import sys

from watershed.spark.parent import ORPHANED
from watershed.stack.home import ROOT

JOB = "import sys, threading\nfrom watershed.spark.parent import end_with\n"
JOB += "end_with(int(sys.argv[1]))\nprint('begun', flush=True)\nthreading.Event().wait()"


def _job(parent: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", JOB, str(parent)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_job_ends_when_its_parent_is_gone() -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with _job(parent.pid) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "begun\n"
        assert job.poll() is None
        parent.kill()
        parent.wait()
        assert job.wait(20) == ORPHANED


def test_job_ends_when_its_parent_was_gone_before() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    with _job(parent.pid) as job:
        assert job.wait(20) == ORPHANED
