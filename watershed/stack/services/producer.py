"""The transactions producer, where there is a contract of transactions."""

from __future__ import annotations

import sys

from watershed.contracts.load import load_contracts
from watershed.stack.home import ROOT, Home
from watershed.stack.service import Service
from watershed.stores.topics import end_offsets

EVENT_TYPE = "transaction"


def producer(home: Home, rate: int) -> Service | None:
    """``producers/transactions.py``; ready once its first event is in Kafka."""
    before: list[int] = []
    settings = home.settings()
    contract = load_contracts(settings.schemas_dir, settings.topics).get(EVENT_TYPE)
    if contract is None:
        return None
    topic = contract.topic.name

    def ready() -> bool:
        before.append(sum(end_offsets(settings, topic).values()))
        return before[-1] > before[0]

    return Service(
        "producer",
        (sys.executable, str(ROOT / "producers" / "transactions.py"), "--topic", topic,
         "--rate", str(rate)),
        ready,
        needs=("kafka",),
        prepare=before.clear,
    )  # fmt: skip
