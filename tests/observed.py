"""What anybody on the machine can see of a stack's processes."""

from __future__ import annotations

from typing import Any

import psutil

from tests.stack import Stack, ended
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
    """Its connections; none once it has ended, which only root may look at until it is reaped."""
    try:
        return list(process.net_connections())
    except psutil.Error:
        if not ended(process):
            raise
        return []


def visible(stack: Stack) -> dict[str, str]:
    """Arguments and environment of each process, and what each log says."""
    texts = {str(process): _arguments(process) for process in family(stack)}
    for path in stack.home.logs.rglob("*.log*"):
        texts[path.name] = path.read_text(errors="replace")
    return texts


def _arguments(process: psutil.Process) -> str:
    """Its arguments and environment; nothing once it has ended."""
    try:
        return " ".join([*process.cmdline(), *process.environ().values()])
    except psutil.NoSuchProcess:
        return ""
