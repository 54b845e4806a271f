"""A program ends with whoever started it, also when that was killed and could say nothing."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress

import psutil

ORPHANED = 70
"""The exit code of a program whose parent is gone."""

POLL_S = 0.2

log = logging.getLogger("watershed.parent")


def end_with(pid: int) -> None:
    """End this process, and Spark's JVM with it, once the process ``pid`` is gone; 0: never.

    The JVM ends by itself: as a child at the end of its standard input, as ``spark-submit`` when
    its Python has ended. What it was doing may be lost at any moment.
    """
    if pid:
        threading.Thread(target=_wait, args=(pid,), name="parent", daemon=True).start()


def _wait(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):  # it had ended before
        parent = psutil.Process(pid)
        # One that ended stays a zombie for as long as nobody asks how: in a container, for ever.
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            time.sleep(POLL_S)
    log.error("process %s, which this was started for, is gone: it ends too", pid)
    logging.shutdown()
    os._exit(ORPHANED)  # at once: Spark's own way out would wait for its tasks
