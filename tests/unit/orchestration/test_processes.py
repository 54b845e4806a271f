"""A task ends with all it started, also what does not want to."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from watershed.orchestration.processes import end_group

CHILD = (
    "import signal, time; signal.signal(signal.SIGTERM, {}); print('up', flush=True);"
    " time.sleep(60)"
)
PARENT = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"


@pytest.mark.parametrize("reaction", ["signal.SIG_DFL", "signal.SIG_IGN"])
def test_the_whole_group_ends(reaction: str) -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD.format(reaction)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert leader.stdout
    assert leader.stdout.readline() == b"up\n"
    [child] = psutil.Process(leader.pid).children()
    end_group(leader)
    assert leader.poll() is not None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    leader.stdout.close()


def test_a_group_that_has_ended_is_left_alone() -> None:
    leader = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    leader.wait()
    end_group(leader)
