"""``./ws up`` interrupted at any moment: nothing is left, and the next one works."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.support.progress import wait_commits
from tests.support.stack import PORT_OFFSET, Stack, fresh, home_for_tests, wait_until
from watershed.stack.launcher import SUPERVISOR
from watershed.stack.processes import belonging_to
from watershed.stack.state import read_state, running


@pytest.fixture(scope="module")
def other(stack: Stack) -> Iterator[Stack]:
    """A stack in a second home, on the ports of the shared one, which is down meanwhile."""
    stack.ws("down")
    shared = home_for_tests().parent  # not in it: it may be a disk, which ends with its stack
    other = fresh(shared.with_name(f"{shared.name}-interrupted") / "home")
    yield other
    other.destroy()
    stack.up()


def _supervisors(stack: Stack) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if {SUPERVISOR, str(stack.home.path)} <= set(process.info["cmdline"] or [])
    ]


def _has_state(stack: Stack) -> bool:
    return read_state(stack.home) is not None


def _has_servers(stack: Stack) -> bool:
    return bool(belonging_to(stack.home))


def _has_kafka(stack: Stack) -> bool:
    state = read_state(stack.home)
    return state is not None and "kafka" in state.services and stack.is_ready("kafka")


@pytest.mark.parametrize(
    ("reached", "number"),
    [
        (_supervisors, signal.SIGINT),
        (_has_state, signal.SIGINT),
        (_has_servers, signal.SIGINT),
        (_has_servers, signal.SIGTERM),
        (_has_servers, signal.SIGHUP),
        (_has_kafka, signal.SIGINT),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else value.__name__,
)
def test_interrupted_while_starting(
    other: Stack, reached: Callable[[Stack], object], number: signal.Signals
) -> None:
    (other.home.run / "state.json").unlink(missing_ok=True)  # the last one's: not yet reached
    starting = other.starting("--rate", "0", "--port-offset", str(PORT_OFFSET))
    wait_until(lambda: bool(reached(other)), reached.__name__)
    starting.send_signal(number)
    _ended(other, starting)


def test_interrupted_while_it_waits_for_the_first_event(other: Stack) -> None:
    """The cache is stopped, so that no event goes all the way."""
    starting = other.starting("--port-offset", str(PORT_OFFSET))
    assert starting.stdout is not None
    ready = iter(starting.stdout.readline, "")
    assert any("redis" in line for line in ready)
    cache = other.process("redis").pid
    os.killpg(cache, signal.SIGSTOP)
    wait_until(lambda: bool((state := read_state(other.home)) and state.ready), "all is ready")
    assert any("stream" in line for line in ready)
    starting.send_signal(signal.SIGINT)
    os.killpg(cache, signal.SIGCONT)
    _ended(other, starting)


def test_starts_afterwards_with_its_producer(other: Stack) -> None:
    """As a newcomer starts it: events flow, and a panel says where everything is."""
    done = other.ws("up", "--detach", "--no-batch", "--port-offset", str(PORT_OFFSET))
    said = done.stdout + done.stderr
    assert "events flow" in said
    for shown in ("Watershed runs", f"127.0.0.1:{other.home.ports.kafka} ", "./ws audit"):
        assert shown in said
    status = other.status()
    assert status["healthy"]
    assert "producer" in {service["name"] for service in status["services"]}
    other.kill("producer")
    wait_commits(other)
    assert other.audit()["ok"]


def _ended(stack: Stack, starting: subprocess.Popen[str]) -> None:
    said, _ = starting.communicate(timeout=120)
    assert starting.returncode == 130, said
    assert said.endswith("stopping …\nstopped\n")
    assert not running(stack.home)
    assert _supervisors(stack) == []
    assert belonging_to(stack.home) == []
