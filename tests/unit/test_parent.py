"""A job ends once whoever started it is gone."""

from __future__ import annotations

import subprocess
import sys

import psutil

from watershed.parent import ORPHANED
from watershed.stack.home import ROOT

JOB = "import sys, threading\nfrom watershed.parent import end_with\n"
JOB += "end_with(int(sys.argv[1]))\nprint('begun', flush=True)\nthreading.Event().wait()"
NEGLECTFUL = "import subprocess, sys\nchild = subprocess.Popen(['sleep', '60'])\n"
NEGLECTFUL += "print(child.pid, flush=True)\nsys.stdin.read()"


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


def test_job_ends_when_nobody_asks_how_its_parent_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", NEGLECTFUL], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as grandparent:  # fmt: skip
        assert grandparent.stdout is not None
        parent = psutil.Process(int(grandparent.stdout.readline()))
        with _job(parent.pid) as job:
            assert job.stdout is not None
            assert job.stdout.readline() == "begun\n"
            parent.kill()
            assert job.wait(20) == ORPHANED
        assert parent.status() == psutil.STATUS_ZOMBIE


def test_job_ends_when_its_parent_was_gone_before() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    with _job(parent.pid) as job:
        assert job.wait(20) == ORPHANED
