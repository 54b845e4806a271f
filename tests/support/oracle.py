"""What the stores must hold, calculated from what Kafka acknowledged and from nothing else."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

KEEP = 100
CRITICAL = Decimal(95)


@dataclass
class Oracle:
    """Reads the acknowledgement log of every producer of a test run; what it knows only grows."""

    log: Path
    valid: int = 0
    """Valid events, repeated ones as often as they were sent."""
    invalid: int = 0
    _read_to: int = 0
    _offsets: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _sums: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    _counts: Counter[str] = field(default_factory=Counter)
    _critical: dict[str, dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))

    def read(self) -> None:
        """Take in what was acknowledged since it was last read."""
        if not self.log.exists():
            return
        with self.log.open("rb") as file:
            file.seek(self._read_to)
            self._take_all(file)
            self._read_to = file.tell()

    def _take_all(self, file: BinaryIO) -> None:
        for text in file:
            line = json.loads(text)
            self._offsets[line["partition"]].append(line["offset"])
            if line["kind"] == "invalid":
                self.invalid += 1
            else:
                self._take(json.loads(line["value"], parse_float=Decimal))

    def _take(self, event: dict[str, Any]) -> None:
        amount = Decimal(event["amount"])
        self.valid += 1
        self._sums[event["currency"]] += amount
        self._counts[event["currency"]] += 1
        if abs(amount) >= CRITICAL:
            time = datetime.fromisoformat(event["event_time"])
            self._critical[event["branch"]][event["transaction_id"]] = time

    def offsets(self) -> dict[int, list[int]]:
        """The acknowledged offsets of each partition, sorted."""
        return {partition: sorted(offsets) for partition, offsets in self._offsets.items()}

    def positions(self) -> dict[str, tuple[Decimal, int]]:
        """Sum and count by currency."""
        return {currency: (self._sums[currency], self._counts[currency]) for currency in self._sums}

    def critical(self) -> dict[str, list[str]]:
        """Ids of the newest critical events by branch, newest first."""
        return {
            branch: sorted(of, key=lambda one: (of[one], one), reverse=True)[:KEEP]
            for branch, of in self._critical.items()
        }
