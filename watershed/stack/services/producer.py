"""The transactions producer."""

from __future__ import annotations

import sys

from watershed.stack.home import ROOT, Home
from watershed.stack.service import Service
from watershed.stores.topics import end_offsets

TOPIC = "transaction"  # and the name of its contract


def producer(home: Home, rate: int) -> Service:
    """``producers/transactions.py``; ready once its first event is in Kafka."""
    before: list[int] = []

    def ready() -> bool:
        before.append(sum(end_offsets(home.settings(), TOPIC).values()))
        return before[-1] > before[0]

    return Service(
        "producer",
        (sys.executable, str(ROOT / "producers" / "transactions.py"), "--rate", str(rate)),
        ready,
        needs=("kafka",),
        prepare=before.clear,
    )
