"""Places where a test may kill the process: they show what a crash between two writes costs."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def failpoint(name: str, folder: Path) -> None:
    """Die here, at once and with the whole session, if ``folder`` has a file ``failpoint`` that
    says ``name``. The file is taken away first: the process dies once."""
    wish = folder / "failpoint"
    if wish.exists() and wish.read_text().strip() == name:
        wish.unlink()
        os.killpg(os.getpgid(0), signal.SIGKILL)
