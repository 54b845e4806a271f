"""Ctrl-C, SIGTERM and a closed terminal, dealt with between two steps instead of inside one."""

from __future__ import annotations

import signal
import time
from types import FrameType

ENDING = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


class Interruption:
    """The wish to end this process. Once :meth:`listen` was called, a signal only notes it.

    So nothing is cut off halfway: neither the start of a process, nor the stop that follows.
    """

    def __init__(self) -> None:
        self._came = False

    def listen(self) -> None:
        """Take over the signals, except those that are ignored, as SIGHUP is under nohup."""
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def pause(self, seconds: float) -> None:
        """Sleep; raises KeyboardInterrupt when one of the signals has come."""
        time.sleep(seconds)
        if self._came:
            raise KeyboardInterrupt

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
