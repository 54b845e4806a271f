"""The processes of the local stack: whether each runs, how often it was restarted, its memory."""

from __future__ import annotations

from dataclasses import dataclass

from watershed.stack.home import Home
from watershed.stack.processes import memory_bytes
from watershed.stack.state import read_state, running

MB = 2**20


@dataclass(frozen=True)
class ServiceStatus:
    """One process of the local stack; memory is its proportional set size."""

    name: str
    status: str
    pid: int | None
    restarts: int
    memory_mb: int


@dataclass(frozen=True)
class StackStatus:
    """The supervisor and its services; ``error`` says why it gave up, if it did."""

    running: bool
    error: str
    services: list[ServiceStatus]

    @property
    def healthy(self) -> bool:
        """Whether every service runs and answers."""
        ready = all(service.status == "ready" for service in self.services)
        return self.running and bool(self.services) and ready

    @property
    def memory_mb(self) -> int:
        return sum(service.memory_mb for service in self.services)


def stack_status(home: Home) -> StackStatus:
    """The stack of a home now, as its supervisor reports it."""
    state, alive = read_state(home), running(home)
    services = [
        ServiceStatus(
            name,
            one.status if alive else "stopped",
            one.pid if alive else None,
            one.restarts,
            memory_bytes(one.pid) // MB if alive and one.pid else 0,
        )
        for name, one in (state.services if state else {}).items()
    ]
    return StackStatus(alive, state.error if state else "", services)
