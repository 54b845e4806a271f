"""One fault: what it is, how it is drawn, inflicted and survived."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from tests.support.stack import Stack, wait_until

MIXED = ("--rate", "300", "--duplicates", "0.05", "--invalid", "0.05")
"""A producer's options: good events, repeated ones, broken ones."""

Load = Callable[[], AbstractContextManager[None]]
"""The fixture ``load``: events flow meanwhile."""

VICTIMS = {"stream": 4, "kafka": 2, "cassandra": 2, "postgres": 3, "redis": 1}
"""Who is struck, and how often among the others: where progress is made, most of all."""

FAILPOINTS = (
    "after_quarantine",
    "after_raw",
    "after_critical_rows",
    "after_critical",
    "after_commit",
)
KINDS = {"kill": 6, "pause": 3, "pair": 3, "failpoint": 2}
PAUSE_S = 1.0, 8.0


@dataclass(frozen=True)
class Blow:
    """A service killed, or paused for ``paused_s`` seconds."""

    service: str
    paused_s: float | None = None

    def __str__(self) -> str:
        how = "killed" if self.paused_s is None else f"paused {self.paused_s:.1f} s"
        return f"{self.service} {how}"


@dataclass(frozen=True)
class Fault:
    """Blows that fall at once, or a failpoint at which the stream dies."""

    kind: str
    blows: tuple[Blow, ...] = ()
    failpoint: str = ""

    def __str__(self) -> str:
        return " + ".join(map(str, self.blows)) or f"stream dies {self.failpoint}"

    @property
    def kills(self) -> int:
        """How many services it kills."""
        return sum(blow.paused_s is None for blow in self.blows) + bool(self.failpoint)

    def inflict(self, stack: Stack) -> None:
        """Let it happen; returns when all that was killed runs again."""
        if self.failpoint:
            before = stack.restarts("stream")
            wish = stack.arm(self.failpoint)
            wait_until(lambda: not wish.exists(), f"the stream died {self.failpoint}")
            stack.wait_restarted("stream", before)
        else:
            strike(stack, *self.blows)


def killed(service: str) -> Blow:
    return Blow(service)


def strike(stack: Stack, *blows: Blow) -> None:
    """Let blows fall at once; pauses last as long as the longest."""
    before = {blow.service: stack.restarts(blow.service) for blow in blows}
    with ExitStack() as pauses:
        for blow in blows:
            if blow.paused_s is None:
                stack.send(blow.service, signal.SIGKILL)
            else:
                pauses.enter_context(stack.paused(blow.service))
        time.sleep(max(blow.paused_s or 0 for blow in blows))  # the fault itself
    for blow in blows:
        if blow.paused_s is None:
            stack.wait_restarted(blow.service, before[blow.service])


def drawn(dice: random.Random) -> Fault:
    """Any fault."""
    [kind] = dice.choices([*KINDS], [*KINDS.values()])
    if kind == "kill":
        return Fault(kind, (killed(*victims(dice, 1)),))
    if kind == "pause":
        return Fault(kind, (Blow(*victims(dice, 1), dice.uniform(*PAUSE_S)),))
    if kind == "pair":
        return pair(dice)
    return Fault(kind, failpoint=dice.choice(FAILPOINTS))


def pair(dice: random.Random) -> Fault:
    """Two services at once, each killed or paused."""
    blows = (
        Blow(victim, dice.choice((None, dice.uniform(*PAUSE_S)))) for victim in victims(dice, 2)
    )
    return Fault("pair", tuple(blows))


def victims(dice: random.Random, count: int) -> list[str]:
    """Different services, by weight."""
    found: list[str] = []
    while len(found) < count:
        [one] = dice.choices([*VICTIMS], [*VICTIMS.values()])
        found += [one] if one not in found else []
    return found
