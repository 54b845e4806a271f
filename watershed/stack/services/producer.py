"""The transactions producer, at its default pace."""

from __future__ import annotations

import sys

from watershed.stack.home import ROOT, Home
from watershed.stack.service import Service
from watershed.stores.topics import end_offsets

TOPIC = "transaction"


def producer(home: Home) -> Service:
    """``producers/transactions.py``; ready once its first event is in Kafka."""
    before: list[int] = []

    def produced() -> int:
        return sum(end_offsets(home.settings(), TOPIC).values())

    def ready() -> bool:
        return produced() > before[0]

    return Service(
        "producer",
        (sys.executable, str(ROOT / "producers" / "transactions.py")),
        ready,
        needs=("kafka",),
        prepare=lambda: before.append(produced()),
    )
