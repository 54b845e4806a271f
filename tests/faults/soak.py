"""``./ws test --faults``: faults one after the other at random moments, until enough were killed.

The name keeps it out of an ordinary run, which has its own, shorter round.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest
from rich.console import Console
from rich.table import Table

from tests.support.fault import Fault, Load, drawn
from tests.support.oracle import Oracle
from tests.support.progress import wait_recovered
from tests.support.stack import Stack

BETWEEN_S = 0.5, 6.0
VERIFY_EVERY = 8


@dataclass
class Log:
    """What was survived."""

    faults: Counter[str] = field(default_factory=Counter)
    longest_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    kills: int = 0

    def add(self, fault: Fault, recovery_s: float) -> None:
        self.faults[fault.kind] += 1
        self.longest_s[fault.kind] = max(self.longest_s[fault.kind], recovery_s)
        self.kills += fault.kills

    def table(self, title: str) -> Table:
        """Faults and longest recoveries by kind."""
        table = Table("fault", "times", "longest recovery s", title=title)
        for kind, times in self.faults.items():
            table.add_row(kind, str(times), f"{self.longest_s[kind]:.1f}")
        return table


@pytest.mark.timeout(0)  # as long as the number of kills takes
def test_faults_at_random(
    stack: Stack,
    load: Load,
    verify,
    oracle: Oracle,
    dice: random.Random,
    pytestconfig: pytest.Config,
) -> None:
    wanted = pytestconfig.getoption("kills")
    done = Log()
    audit = "not reached"
    try:
        while done.kills < wanted:
            audit = "not reached since the last faults"
            with load():
                _some(stack, dice, done, wanted)
            verify()
            audit = "0 faults, sums exact"
            print(f"verified: {oracle.valid + oracle.invalid:,} records, {audit}", flush=True)
    finally:
        produced = f"{oracle.valid + oracle.invalid:,} records verified"
        title = f"{done.kills} kills, {produced}, audit: {audit}"
        Console().print(done.table(title))


def _some(stack: Stack, dice: random.Random, done: Log, wanted: int) -> None:
    """A few faults, each after the one before is healed."""
    for _ in range(VERIFY_EVERY):
        if done.kills >= wanted:
            return
        time.sleep(dice.uniform(*BETWEEN_S))  # the random moment
        fault = drawn(dice)
        print(f"{time.strftime('%H:%M:%S')} {fault}", end="", flush=True)
        fault.inflict(stack)
        recovery_s = wait_recovered(stack)
        done.add(fault, recovery_s)
        print(f"; lag back {recovery_s:.1f} s after it ran again", flush=True)
