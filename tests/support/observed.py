"""What anybody on the machine can see of a stack's processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil

from tests.support.stack import Stack, ended
from watershed.stack.processes import belonging_to

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def family(stack: Stack) -> set[psutil.Process]:
    """The processes of a stack with all that they started."""
    return {
        member
        for process in belonging_to(stack.home)
        for member in [process, *process.children(recursive=True)]
    }


def listening(stack: Stack) -> set[str]:
    """The addresses that its processes listen on."""
    return {
        connection.laddr.ip
        for process in family(stack)
        for connection in _connections(process)
        if connection.status == psutil.CONN_LISTEN
    }


def _connections(process: psutil.Process) -> list[Any]:
    """Its connections; none where only root may look, as at one that ended until it is reaped."""
    try:
        return list(process.net_connections())
    except psutil.Error:
        if not ended(process) and not _hides(process):
            raise
        return []


def _hides(process: psutil.Process) -> bool:
    """Whether it lets only root look at it, as Airflow's workers do: its files in /proc are root's,
    though the folder is not."""
    return Path("/proc", str(process.pid), "environ").stat().st_uid != process.uids().real


def visible(stack: Stack) -> dict[str, str]:
    """Arguments and environment of each process, and what each log says."""
    texts = {str(process): _arguments(process) for process in family(stack)}
    for path in stack.home.logs.rglob("*.log*"):
        texts[path.name] = path.read_text(errors="replace")
    return texts


def _arguments(process: psutil.Process) -> str:
    """Its arguments, and its environment where it can be seen; nothing once it has ended."""
    try:
        shown = process.environ().values() if not _hides(process) or os.geteuid() == 0 else ()
        return " ".join([*process.cmdline(), *shown])
    except (psutil.Error, FileNotFoundError):
        # Ended counts from before its parent asks how: Spark's JVM is its shell's until then.
        if not ended(process):
            raise
        return ""
