"""How a producer is asked to end."""

from __future__ import annotations

import contextlib
import queue
import signal
from collections.abc import Callable
from types import FrameType


class Stop:
    """The wish to end, told by SIGTERM or SIGINT, and the main thread's alarm clock."""

    def __init__(self) -> None:
        self.requested = False
        self._alarm: queue.SimpleQueue[None] = queue.SimpleQueue()

    def listen(self, abandon: Callable[[], None]) -> None:
        """Take over both signals: the first sets ``requested``, the second calls ``abandon``."""

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            if self.requested:
                abandon()
            self.requested = True
            self.wake()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)

    def wake(self) -> None:
        """End the current or next :meth:`sleep`; for any thread and for signal handlers."""
        # SimpleQueue.put is the one standard wake-up that is documented as reentrant.
        self._alarm.put(None)

    def sleep(self, seconds: float) -> None:
        """Wait for :meth:`wake`, at most ``seconds``."""
        with contextlib.suppress(queue.Empty):
            self._alarm.get(timeout=seconds)
