"""The transactions producer."""

from __future__ import annotations

import sys

from watershed.stack.home import ROOT, Home
from watershed.stack.service import Service
from watershed.stores.topics import end_offsets

TOPIC = "transaction"


def producer(home: Home, rate: int) -> Service:
    """``producers/transactions.py``; ready once its first event is in Kafka."""
    before: list[int] = []

    def produced() -> int:
        return sum(end_offsets(home.settings(), TOPIC).values())

    def ready() -> bool:
        return produced() > before[-1]

    return Service(
        "producer",
        (sys.executable, str(ROOT / "producers" / "transactions.py"), "--rate", str(rate)),
        ready,
        needs=("kafka",),
        prepare=lambda: before.append(produced()),
    )
