"""Which processes are a stack's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from watershed.stack.processes import hiding

NOT_DUMPABLE = "import ctypes; ctypes.CDLL(None).prctl(4, 0)"
"""PR_SET_DUMPABLE: from then on its files in /proc are root's."""


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing hides from root")
def test_what_hides_is_found_by_its_session() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"{NOT_DUMPABLE}; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        assert [one.pid for one in hiding(process.pid)] == [process.pid]
        assert process.pid not in {one.pid for one in hiding(os.getsid(0))}
    finally:
        process.communicate(b"\n")
