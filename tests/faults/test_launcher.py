"""The launcher killed: the next command cleans up, the data stays."""

from __future__ import annotations

import psutil

from tests.support.stack import Stack, ended, wait_until
from watershed.stack.processes import belonging_to
from watershed.stack.state import read_state, running


def test_killed_launcher_is_cleaned_up_and_data_stays(stack: Stack, produce, verify) -> None:
    produce("--rate", "0", "--count", "500").wait(60)
    state = read_state(stack.home)
    assert state is not None
    psutil.Process(state.pid).kill()
    wait_until(lambda: not running(stack.home), "the launcher is gone")
    orphans = {process.pid for process in belonging_to(stack.home)}
    assert orphans
    stack.up()
    assert not orphans & {process.pid for process in belonging_to(stack.home)}
    verify()


def test_down_leaves_no_process_and_up_keeps_the_data(stack: Stack, verify) -> None:
    processes = belonging_to(stack.home)
    assert processes
    stack.ws("down")
    assert not belonging_to(stack.home)
    assert all(map(ended, processes))
    stack.up()
    verify()
