"""What schema ``report`` must hold, calculated in Python from records and from what is final."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.report_world import Record, World, sums
from watershed.batch.intervals import Interval

Sums = dict[tuple[Any, ...], tuple[Decimal, int]]


@dataclass
class Ledger:
    """Which intervals were made final or skipped, in what order, and what became facts by that."""

    world: World
    facts: dict[Interval, list[Record]] = field(default_factory=dict)
    skipped: set[Interval] = field(default_factory=set)
    conflicts: dict[Interval, set[tuple[int, int]]] = field(default_factory=dict)
    noted: set[tuple[int, int]] = field(default_factory=set)
    until: datetime | None = None

    def publish(self, interval: Interval) -> None:
        """First arrivals of an interval, unless another one has the id within the lookback."""
        self.skipped.discard(interval)
        self.until = max(self.until or interval.end, interval.end)
        kept: list[Record] = []
        conflicts, counting = set(), {}
        for one in self.world.within(interval):
            if one.id in counting or (rivals := self._rivals(one, interval)):
                counts = counting.setdefault(one.id, rivals[0] if rivals else one)
                if counts.payload != one.payload:
                    conflicts.add((one.partition, one.offset))
            else:
                counting[one.id] = one
                kept.append(one)
        self.facts[interval] = kept
        self.conflicts[interval] = conflicts
        self.noted |= conflicts

    def _rivals(self, record: Record, interval: Interval) -> list[Record]:
        lookback = timedelta(hours=self.world.contract.lookback_hours)
        found = [
            fact
            for other, records in self.facts.items()
            for fact in records
            if other != interval and fact.id == record.id
            if abs(fact.arrival - record.arrival) <= lookback
        ]
        return sorted(found, key=lambda r: r.order)

    def skip(self, interval: Interval) -> None:
        self.skipped.add(interval)
        self.until = interval.end

    @property
    def final(self) -> list[Record]:
        return [record for records in self.facts.values() for record in records]

    @property
    def live(self) -> list[Record]:
        """What no final interval contains."""
        return [
            record
            for record in self.world.records
            if self.until is None
            or record.arrival >= self.until
            or any(s.start <= record.arrival < s.end for s in self.skipped)
        ]

    def position(self) -> dict[str, tuple[Decimal, int]]:
        return {c: s for (c,), s in added([*self.final, *self.live], "currency").items()}

    def by_branch(self) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """Position, final and live sum and number of events, by branch and currency."""
        final, live = (added(r, "branch", "currency") for r in (self.final, self.live))
        nothing = Decimal(0), 0
        found = {}
        for groups in final.keys() | live.keys():
            (old, olds), (new, news) = (s.get(groups, nothing) for s in (final, live))
            found[groups] = old + new, old, new, olds + news
        return found

    def position_at(self, t: datetime) -> dict[str, tuple[Decimal, int]]:
        """Of what is not final, the windows of two seconds that had ended."""
        found = added([one for one in self.final if one.arrival < t], "currency")
        total = {c: s for (c,), s in found.items()}
        for window, (_, currency), value, events in sums(self.live):
            if window + timedelta(seconds=2) <= t:
                have = total.get(currency, (Decimal(0), 0))
                total[currency] = have[0] + value, have[1] + events
        return total

    def expected(self) -> dict[str, Any]:
        """Every table and view, by name."""
        return {
            "facts": Counter(
                (i.start, record.id, record.arrival, record.partition, record.offset, record.amount)
                for i, records in self.facts.items()
                for record in records
            ),
            "final": added(self.final, "branch", "currency"),
            "by_hour": added(self.final, "hour", "branch", "currency"),
            "intervals": self._intervals(),
            "ledger": sorted(
                [
                    (*i, len(self.world.within(i)), len(kept), len(self.conflicts[i]))
                    for i, kept in self.facts.items()
                ]
                + [(*i, 0, 0, 0) for i in self.skipped]
            ),
            "conflicts": sorted(self.noted),
            "position": self.position(),
            "by_branch": self.by_branch(),
            "final_position": added(self.final, "currency"),
        }

    def _intervals(self) -> Sums:
        """Per interval and group: facts, duplicates, flow."""
        found: dict[Any, Any] = {}
        for interval, kept in self.facts.items():
            batch = added(kept, "branch", "currency")
            every = added(self.world.within(interval), "branch", "currency")
            for groups, (value, events) in every.items():
                have = batch.get(groups, (Decimal(0), 0))
                found[(interval.start, *groups)] = (
                    *have, value - have[0], events - have[1], value, events,
                )  # fmt: skip
        return found

    def found(self) -> dict[str, Any]:
        """The same as the database has it."""
        query = self.world.query
        return {
            "facts": Counter(query(
                "SELECT interval_start, transaction_id, arrival_time, kafka_partition,"
                " kafka_offset, amount FROM report.transaction")),
            "final": keyed(query(
                "SELECT branch_name, currency_code, sum(batch_value), sum(event_count)::bigint"
                " FROM report.transaction_final GROUP BY 1, 2"), 2),
            "by_hour": keyed(query("SELECT event_hour, branch, currency, amount, event_count"
                                   " FROM report.transaction_by_hour"), 3),
            "intervals": {row[:3]: row[3:] for row in query(
                "SELECT interval_start, branch, currency, batch_amount, batch_count,"
                " duplicate_amount, duplicate_count, flow_amount, flow_count"
                " FROM report.transaction_reconciliation")},
            "ledger": sorted(query("SELECT interval_start, interval_end, events, facts,"
                                   " conflicts FROM report.interval")),
            "conflicts": sorted(query(
                "SELECT kafka_partition, kafka_offset FROM control.conflict")),
            "position": self.position_found(),
            "by_branch": {row[:2]: row[2:] for row in query(
                "SELECT branch, currency, position, final, live, event_count"
                " FROM report.transaction_position_by_group")},
            "final_position": keyed(query(
                "SELECT currency, position, transactions FROM report.final_position"
                " WHERE transactions <> 0"), 1),
        }  # fmt: skip

    def position_found(self) -> dict[str, tuple[Decimal, int]]:
        rows = self.world.query("SELECT currency, position, transactions FROM report.open_position")
        return {c: (value, events) for c, value, events in rows}

    def position_at_found(self, t: datetime) -> dict[str, tuple[Decimal, int]]:
        rows = self.world.query(
            "SELECT currency, position, transactions FROM report.open_position_at(%s)"
            " WHERE transactions <> 0", t,
        )  # fmt: skip
        return {c: (value, events) for c, value, events in rows}

    def check(self) -> None:
        """Everything is as it must be, and batch and flow agree."""
        expected, found = self.expected(), self.found()
        for name, value in expected.items():
            assert found[name] == value, name
        assert (
            self.world.query(
                "SELECT * FROM report.transaction_reconciliation"
                " WHERE unexplained_amount <> 0 OR unexplained_count <> 0"
            )
            == []
        )


def added(records: list[Record], *by: str) -> Sums:
    """Sum and count by what is named."""
    found: dict[tuple[Any, ...], tuple[Decimal, int]] = {}
    for record in records:
        hour = record.happened.replace(minute=0, second=0, microsecond=0)
        key = tuple({"hour": hour}.get(name) or getattr(record, name) for name in by)
        value, events = found.get(key, (Decimal(0), 0))
        found[key] = value + record.amount, events + 1
    return found


def keyed(rows: list[tuple[Any, ...]], width: int) -> Sums:
    return {row[:width]: (row[width], row[width + 1]) for row in rows}
