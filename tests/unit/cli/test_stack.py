"""``./ws up`` that stays with a running stack: what it says when that ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from watershed.cli import stack
from watershed.cli.interruption import ENDING
from watershed.stack.home import Home
from watershed.stack.state import ServiceState, StackState, hold

Stay = Callable[[StackState | None], None]


@pytest.fixture
def stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stay]:
    """Stays with a stack whose supervisor ends at once, and leaves a state or none."""
    before = {number: signal.getsignal(number) for number in ENDING}

    def run(last: StackState | None) -> None:
        home = Home.open(tmp_path)
        home.prepare()
        lock = hold(home)
        assert lock is not None

        def end(*_: object) -> None:
            if last:
                last.write(home)
            lock.close()

        monkeypatch.setattr(stack.Interruption, "pause", end)
        stack.up(tmp_path)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


STOPPED = {"kafka": ServiceState("stopped"), "stream": ServiceState("stopped")}


@pytest.mark.parametrize("last", [StackState(1, STOPPED), None], ids=["down", "destroy"])
def test_a_stop_from_elsewhere_is_said(
    last: StackState | None, stay: Stay, capsys: pytest.CaptureFixture[str]
) -> None:
    stay(last)
    assert capsys.readouterr().err.endswith("Ctrl-C stops everything\nstopped\n")


@pytest.mark.parametrize(
    ("services", "error", "said"),
    [
        (STOPPED, "kafka: its data is gone", "the stack gave up: kafka: its data is gone"),
        (STOPPED | {"stream": ServiceState("ready", 2)}, "", "the supervisor was killed"),
        (dict.fromkeys(STOPPED, ServiceState("ready", 2)), "", "./ws down cleans up"),
        (dict.fromkeys(STOPPED, ServiceState()), "", "./ws down cleans up"),
        ({}, "", "./ws down cleans up"),
    ],
)
def test_any_other_end_is_a_failure(
    services: dict[str, ServiceState],
    error: str,
    said: str,
    stay: Stay,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        stay(StackState(1, services, error))
    assert ended.value.code == 1
    assert said in capsys.readouterr().err
