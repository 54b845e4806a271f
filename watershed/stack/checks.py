"""What can keep a stack from starting, found before anything is started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict

import psutil

from watershed.stack.home import Home, cache_dir
from watershed.stack.processes import belonging_to, listener
from watershed.stack.service import listens
from watershed.stack.state import running

DISK_GB = 5
MEMORY_GB = 5
GB = 2**30


def problems(home: Home) -> list[str]:
    """What is missing, one sentence each with its remedy; empty when a start will do."""
    return [*_folder(home), *_disk(home), *_memory(), *(() if running(home) else _ports(home))]


def _folder(home: Home) -> Iterator[str]:
    if home.foreign():
        yield f"{home.path} holds {home.foreign()[0]}: give --home a folder of its own"


def _disk(home: Home) -> Iterator[str]:
    for folder in (home.path, cache_dir()):
        there = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(there).free
        if free < DISK_GB * GB:
            yield f"{there} has {free / GB:.1f} GB free; {DISK_GB} are needed: free some"


def _memory() -> Iterator[str]:
    free = psutil.virtual_memory().available
    if free < MEMORY_GB * GB:
        yield f"{free / GB:.1f} GB of memory are free; {MEMORY_GB} are needed: end something"


def _ports(home: Home) -> Iterator[str]:
    left_over = {process.pid for process in belonging_to(home)}  # a start ends these by itself
    for name, port in asdict(home.ports).items():
        user = listener(port) or ("another user's process" if listens(port) else None)
        if user and not any(f"(pid {pid})" in user for pid in left_over):
            yield f"port {port} ({name}) is used by {user}: end it, or give --port-offset"
