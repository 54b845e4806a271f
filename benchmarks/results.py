"""What a benchmark found: rates, ratios, percentiles, and the machine that they hold for."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

GB = 2**30


@dataclass(frozen=True)
class Run:
    """One way's work: ``events`` in ``seconds``, and its second half.

    A JVM compiles its code during the first; a way without batches has the same numbers twice.
    """

    events: int
    seconds: float
    sustained_events: int
    sustained_seconds: float

    @classmethod
    def even(cls, events: int, seconds: float) -> Run:
        """The run of a way that works record by record."""
        return cls(events, seconds, events, seconds)

    @property
    def rate(self) -> float:
        """Events per second, from the first batch's start on."""
        return self.events / self.seconds

    @property
    def sustained(self) -> float:
        """Events per second in the second half; of all when there was one batch alone."""
        if not self.sustained_events:
            return self.rate
        return self.sustained_events / self.sustained_seconds

    @classmethod
    def of(cls, started: float, batches: list[tuple[int, float]]) -> Run:
        """From each batch's events and the time (s) of its end, in order, and the start (s)."""
        middle = (len(batches) - 1) // 2
        later = sum(events for events, _ in batches[middle + 1 :])
        end = batches[-1][1]
        total = sum(events for events, _ in batches)
        return cls(total, end - started, later, end - batches[middle][1])

    def line(self) -> str:
        """The run as one line of JSON, which :func:`last_run` reads."""
        return json.dumps(asdict(self))


def last_run(printed: str) -> Run:
    """The run that a program printed on its last line. Raises ValueError when there is none."""
    lines = printed.strip().splitlines() or [""]
    return Run(**json.loads(lines[-1]))


@dataclass(frozen=True)
class Goal:
    """A number that is aimed at: at least ``at_least``, or at most ``at_most``."""

    what: str
    measured: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        return (self.at_least is None or self.measured >= self.at_least) and (
            self.at_most is None or self.measured <= self.at_most
        )

    @property
    def target(self) -> str:
        """The goal as a person reads it."""
        sign, limit = ("≥", self.at_least) if self.at_most is None else ("≤", self.at_most)
        return f"{sign} {limit:,g} {self.unit}"


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values, no percentile")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def machine() -> dict[str, str]:
    """Cores, memory and processor of this machine."""
    memory = psutil.virtual_memory().total / GB
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GB",
        "processor": _processor(Path("/proc/cpuinfo").read_text()),
        "system": f"{platform.system()} {platform.release()}",
    }


def _processor(cpuinfo: str) -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1] if found else platform.machine()
