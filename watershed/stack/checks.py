"""What can keep a stack from starting, found before anything is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil

from watershed.stack import mariadb_programs
from watershed.stack.home import Home, cache_dir
from watershed.stack.processes import belonging_to, freed_bytes, listener
from watershed.stack.server_user import obstacle, server_user
from watershed.stack.services.postgres import program
from watershed.stack.state import running
from watershed.stores.reachable import listens

DISK_GB = 5
MEMORY_GB = 3  # measured: 1.7 at rest, 2.5 at 100 events/s, close to 3 at full load
BATCH_DISK_GB = 2  # as much again for the batch layer
BATCH_MEMORY_GB = 3
BATCH_PORTS = ("mysql", "airflow")
GB = 2**30


def problems(home: Home, *, batch: bool = False) -> list[str]:
    """What is missing, one sentence each with its remedy; empty when a start will do.

    ``batch`` is whether the batch layer is to run too.
    """
    return [
        *_folder(home),
        *_programs(),
        *(_libraries() if batch else ()),
        *_disk(home, DISK_GB + batch * BATCH_DISK_GB),
        *_memory(home, MEMORY_GB + batch * BATCH_MEMORY_GB, "./ws up --no-batch" if batch else ""),
        *(() if running(home) else _ports(home, batch)),
    ]


def _folder(home: Home) -> Iterator[str]:
    there = _first_there(home.path)
    if not there.is_dir() or not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        yield f"{there} is no folder that you may write to: give --home another one"
    elif home.foreign():
        yield f"{home.path} holds {home.foreign()[0]}: give --home a folder of its own"


def _programs() -> Iterator[str]:
    """Whom PostgreSQL drops to under root reaches its programs in the cache."""
    user = server_user()
    closed = user and obstacle(Path(program("postgres")).resolve(), user)
    if user and closed:
        remedy = "set WATERSHED_CACHE to a folder that it can pass through"
        if closed.is_relative_to(cache_dir().resolve()):  # made under a umask that hides it
            remedy = f"chmod -R go+rX {closed}"
        yield f"{user.pw_name}, whom PostgreSQL runs as, cannot use {closed}: {remedy}"


def _libraries() -> Iterator[str]:
    for name in mariadb_programs.lacking():
        packages = mariadb_programs.LIBRARIES[name]
        yield f"MariaDB needs {name}: install {packages}, or ./ws up --no-batch"


def _disk(home: Home, needed_gb: int) -> Iterator[str]:
    for folder in (home.path, cache_dir()):
        there = _first_there(folder)
        free = shutil.disk_usage(there).free
        if free < needed_gb * GB:
            yield f"{there} has {free / GB:.1f} GB free; {needed_gb} are needed: free some"


def _first_there(folder: Path) -> Path:
    """The folder, or the first one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _memory(home: Home, needed_gb: int, instead: str) -> Iterator[str]:
    # What the stack has already: a running one needs no more, and a start ends what is left over.
    free = psutil.virtual_memory().available + freed_bytes(belonging_to(home))
    if free < needed_gb * GB:
        remedy = f"end something, or {instead}" if instead else "end something"
        yield f"{free / GB:.1f} GB of memory are free; {needed_gb} are needed: {remedy}"


def _ports(home: Home, batch: bool) -> Iterator[str]:
    left_over = {process.pid for process in belonging_to(home)}  # a start ends these by itself
    for name, port in asdict(home.ports).items():
        if name in BATCH_PORTS and not batch:
            continue
        user = listener(port) or _unknown_user(port)
        if user and not any(f"(pid {pid})" in user for pid in left_over):
            yield f"port {port} ({name}) is used by {user}: end it, or give --port-offset"


def _unknown_user(port: int) -> str | None:
    return "another user's process" if listens(f"127.0.0.1:{port}") else None
