"""What can keep a stack from starting, found before anything is started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict

import psutil

from watershed.reachable import listens
from watershed.stack.home import Home, cache_dir
from watershed.stack.processes import belonging_to, freed_bytes, listener
from watershed.stack.state import running

DISK_GB = 5
MEMORY_GB = 3  # measured: 1.7 at rest, 2.5 at 100 events/s, close to 3 at full load
GB = 2**30


def problems(home: Home) -> list[str]:
    """What is missing, one sentence each with its remedy; empty when a start will do."""
    return [*_folder(home), *_disk(home), *_memory(home), *(() if running(home) else _ports(home))]


def _folder(home: Home) -> Iterator[str]:
    if home.foreign():
        yield f"{home.path} holds {home.foreign()[0]}: give --home a folder of its own"


def _disk(home: Home) -> Iterator[str]:
    for folder in (home.path, cache_dir()):
        there = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(there).free
        if free < DISK_GB * GB:
            yield f"{there} has {free / GB:.1f} GB free; {DISK_GB} are needed: free some"


def _memory(home: Home) -> Iterator[str]:
    # What the stack has already: a running one needs no more, and a start ends what is left over.
    free = psutil.virtual_memory().available + freed_bytes(belonging_to(home))
    if free < MEMORY_GB * GB:
        yield f"{free / GB:.1f} GB of memory are free; {MEMORY_GB} are needed: end something"


def _ports(home: Home) -> Iterator[str]:
    left_over = {process.pid for process in belonging_to(home)}  # a start ends these by itself
    for name, port in asdict(home.ports).items():
        user = listener(port) or _unknown_user(port)
        if user and not any(f"(pid {pid})" in user for pid in left_over):
            yield f"port {port} ({name}) is used by {user}: end it, or give --port-offset"


def _unknown_user(port: int) -> str | None:
    return "another user's process" if listens(f"127.0.0.1:{port}") else None
