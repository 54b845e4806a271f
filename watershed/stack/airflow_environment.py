"""Airflow's Python environment: made once per user in the cache, beside the pipeline's own.

``infra/locks/airflow.txt`` pins every package by its hash; ``airflow.in`` says why they are two.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from watershed.errors import StackError
from watershed.stack.home import ROOT, cache_dir
from watershed.stack.once import made_once

LOCK = ROOT / "infra" / "locks" / "airflow.txt"
UV = Path(sys.executable).parent / "uv"


def airflow_environment() -> Path:
    """The environment of exactly these pins; makes it if it is not there."""
    return made_once(_folder(), _build)


def missing() -> bool:
    """Whether a start would have to make it first."""
    return not _folder().exists()


def _folder() -> Path:
    return cache_dir() / f"airflow-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"


def _build(folder: Path) -> None:
    # Relocatable, since it moves to its place when it is whole.
    _uv("venv", "--relocatable", "--allow-existing", "--python", sys.executable, str(folder))
    # --no-deps: the lock names everything, and leaves out what is asked for and never imported.
    _uv("pip", "install", "--python", str(folder / "bin" / "python"), "--require-hashes",
        "--no-deps", "--only-binary", ":all:", "-r", str(LOCK))  # fmt: skip


def _uv(*arguments: str) -> None:
    cache = str(cache_dir() / "uv")
    command = [str(UV), "--cache-dir", cache, "--system-certs", "--quiet", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise StackError(
            f"Airflow's environment could not be made: {done.stderr.strip()[-600:]}",
            "check the network and the free disk space (2 GB), then run ./ws up again",
        )
