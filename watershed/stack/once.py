"""Things made once per user in the cache: whole or not at all, by the first who needs them."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable
from pathlib import Path


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, made by ``make`` in an empty folder beside it if it is not there.

    Who may read it is left to ``make``; a process that is killed leaves no half of it behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second process waits for the first one's work
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                part = Path(scratch) / "done"
                part.mkdir()
                make(part)
                part.rename(folder)
    return folder
