"""Which process the time and the memory go to."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from types import TracebackType

import psutil

from watershed.stack.home import Home
from watershed.stack.processes import memory_bytes
from watershed.stack.state import read_state

MEMORY_EVERY_S = 3.0
MB = 2**20


@dataclass
class Usage:
    """CPU seconds and the largest memory (MB, proportional set size) by program, while entered.

    ``job`` is the process under measurement; a JVM below it is counted apart from its Python.
    """

    home: Home
    job: int
    cpu_s: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, int] = field(default_factory=dict)
    _before: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Usage:
        self._before = self._cpu()
        self._thread = threading.Thread(target=self._watch_memory)
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        after = self._cpu()
        self.cpu_s = {name: round(after[name] - self._before.get(name, 0), 1) for name in after}

    def _programs(self) -> dict[str, int]:
        state = read_state(self.home)
        found = state.services.items() if state else ()
        return {name: service.pid for name, service in found if service.pid} | {"job": self.job}

    def _cpu(self) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        for name, pid in self._programs().items():
            for process in _family(pid):
                try:
                    is_jvm = name == "job" and process.name() == "java"
                    found["job's JVM" if is_jvm else name] += sum(process.cpu_times()[:4])
                except psutil.NoSuchProcess:
                    continue  # it has ended; its parent has its time
        return found

    def _watch_memory(self) -> None:
        while not self._stop.is_set():
            for name, pid in self._programs().items():
                now = memory_bytes(pid) // MB
                self.memory_mb[name] = max(now, self.memory_mb.get(name, 0))
            self._stop.wait(MEMORY_EVERY_S)


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
