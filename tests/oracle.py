"""What the stores must hold, calculated from what Kafka acknowledged and from nothing else."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

KEEP = 100
CRITICAL = Decimal(95)


@dataclass(frozen=True)
class Oracle:
    """Reads the acknowledgement log of every producer of a test run."""

    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """Every acknowledged record."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def offsets(self) -> dict[int, list[int]]:
        """The acknowledged offsets of each partition, sorted."""
        found: dict[int, list[int]] = defaultdict(list)
        for line in self.lines():
            found[line["partition"]].append(line["offset"])
        return {partition: sorted(offsets) for partition, offsets in found.items()}

    def valid(self) -> list[dict[str, Any]]:
        """Valid events, repeated ones as often as they were sent, in order of acknowledgement."""
        good = [line for line in self.lines() if line["kind"] != "invalid"]
        return [json.loads(line["value"], parse_float=Decimal) for line in good]

    def invalid(self) -> int:
        return sum(line["kind"] == "invalid" for line in self.lines())

    def positions(self) -> dict[str, tuple[Decimal, int]]:
        """Sum and count by currency."""
        sums: dict[str, Decimal] = defaultdict(Decimal)
        counts: Counter[str] = Counter()
        for event in self.valid():
            sums[event["currency"]] += Decimal(event["amount"])
            counts[event["currency"]] += 1
        return {currency: (sums[currency], counts[currency]) for currency in sums}

    def critical(self) -> dict[str, list[str]]:
        """Ids of the newest critical events by branch, newest first."""
        times: dict[str, dict[str, datetime]] = defaultdict(dict)
        for event in self.valid():
            if abs(Decimal(event["amount"])) >= CRITICAL:
                time = datetime.fromisoformat(event["event_time"])
                times[event["branch"]][event["transaction_id"]] = time
        return {
            branch: sorted(of, key=lambda one: (of[one], one), reverse=True)[:KEEP]
            for branch, of in times.items()
        }
