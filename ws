#!/usr/bin/env python3
"""Watershed's one command: makes its own environment on first use, then runs it.

Needs Python 3.11 and nothing else; only the standard library is imported here.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCKS = ROOT / "infra" / "locks"
PYTHON = (3, 11)  # the version that the pinned requirements were resolved for


def main() -> None:
    use_pinned_python()
    python = environment(cache_dir()) / "bin" / "python"
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    )
    os.execv(python, [str(python), "-m", "watershed", *sys.argv[1:]])


def use_pinned_python() -> None:
    """Go on under Python 3.11, whichever one started this file."""
    if sys.version_info[:2] == PYTHON:
        return
    name = "python{}.{}".format(*PYTHON)
    other = shutil.which(name, path=os.environ.get("PATH", os.defpath))
    if other is None:
        fail(f"this is Python {sys.version.split()[0]}", f"install {name}, then run ./ws again")
    os.execv(other, [other, __file__, *sys.argv[1:]])


def cache_dir() -> Path:
    """Where environments and jars are kept, once per user.

    Root's lies outside /root: the database server drops to a user that must reach its binaries.
    """
    if "WATERSHED_CACHE" in os.environ:
        return Path(os.environ["WATERSHED_CACHE"]).resolve()
    if os.geteuid() == 0:
        return Path("/var/cache/watershed")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "watershed"


def environment(cache: Path) -> Path:
    """The virtual environment of exactly these pins, made if it is not there."""
    pins = b"".join((LOCKS / name).read_bytes() for name in ("bootstrap.txt", "main.txt"))
    env = cache / f"env-{hashlib.sha256(pins).hexdigest()[:12]}"
    complete = env / "complete"
    if complete.exists():
        return env
    with readable():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a second ./ws waits for the first one's work
            if not complete.exists():
                build(env, cache)
                complete.touch()
    return env


@contextmanager
def readable() -> Iterator[None]:
    """What root makes meanwhile is for all to read, whatever root's umask says.

    The database server drops to a user that must reach its binaries.
    """
    before = os.umask(0o022)
    if os.geteuid() != 0:
        os.umask(before)
    try:
        yield
    finally:
        os.umask(before)


def build(env: Path, cache: Path) -> None:
    say(f"making the Python environment in {env} (once; about 500 MB to download)")
    try:
        venv.create(env, clear=True, with_pip=True)
    except subprocess.CalledProcessError:
        fail("this Python cannot make virtual environments", "install its venv and ensurepip parts")
    python = str(env / "bin" / "python")
    quiet = ["--quiet", "--require-hashes", "-r"]
    run(python, "-m", "pip", "install", "--disable-pip-version-check", *quiet,
        str(LOCKS / "bootstrap.txt"))  # fmt: skip
    # pyspark comes as a source archive: it is built with the pinned setuptools, not a fetched one.
    run(str(env / "bin" / "uv"), "--cache-dir", str(cache / "uv"), "--system-certs",
        "pip", "install", "--python", python, "--no-build-isolation", *quiet,
        str(LOCKS / "main.txt"))  # fmt: skip


def run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL)
    if done.returncode:
        fail(
            f"{Path(command[0]).name} ended with {done.returncode} (its message is above)",
            "check the network and the free disk space (2 GB), then run ./ws again",
        )


def say(message: str) -> None:
    print(f"ws: {message}", file=sys.stderr, flush=True)


def fail(cause: str, remedy: str) -> None:
    say(f"{cause}\n  -> {remedy}")
    raise SystemExit(1)


if __name__ == "__main__":
    main()
