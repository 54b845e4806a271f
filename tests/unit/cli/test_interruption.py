"""A signal is noted, and raised where the command can deal with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from watershed.cli.interruption import ENDING, Interruption


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}  # nohup's too
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_raised_at_the_next_pause(number: signal.Signals) -> None:
    interruption = Interruption()
    interruption.listen()
    interruption.pause(0)
    signal.raise_signal(number)
    with pytest.raises(KeyboardInterrupt):
        interruption.pause(0)


def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Interruption().listen()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
