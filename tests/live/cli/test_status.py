"""What ``./ws up`` and ``./ws status`` say of a running stack."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime

import pytest

from tests.support.stack import Stack, wait_until
from watershed.operations.readiness import flows


@pytest.mark.parametrize("server", ["kafka", "postgres", "cassandra", "redis"])
def test_status_names_a_server_that_is_silent(stack: Stack, server: str) -> None:
    group = stack.process(server).pid
    os.killpg(group, signal.SIGSTOP)
    try:
        done = stack.ws("status", "--json", check=False)
    finally:
        os.killpg(group, signal.SIGCONT)
    assert done.returncode == 1
    status = json.loads(done.stdout)
    assert not status["healthy"]
    # On a busy machine others may be late besides.
    assert server in [line.partition(":")[0] for line in status["unavailable"]]
    wait_until(lambda: stack.status()["healthy"], "every server answers again")


def test_events_flow_once_one_came_since_the_start(stack: Stack, produce) -> None:
    produce("--rate", "0", "--count", "10").wait(60)
    wait_until(lambda: _is_caught_up(stack), "there are events from before")
    start = datetime.now(UTC)
    assert not flows(stack.settings, "transaction", start)
    produce("--rate", "0", "--count", "10").wait(60)
    wait_until(lambda: flows(stack.settings, "transaction", start), "an event went all the way")


def _is_caught_up(stack: Stack) -> bool:
    [contract] = stack.status()["contracts"]
    return bool(contract["lag_events"] == 0)
