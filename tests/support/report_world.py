"""A stream made up by a test: records, their commits, attempts at their intervals.

Everything but Spark and Kafka is real: commits go through ``commit``, staging tables are loaded as
a job loads them. What the stores must hold then is calculated by ``ledger``.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values, register_uuid

from watershed.batch import attempts, ledger, publish, quality_checks, run, staging_table
from watershed.batch.attempts import Attempt, Loaded
from watershed.batch.intervals import Interval
from watershed.batch.plan import Asked, Origin
from watershed.contracts.model import Contract
from watershed.speed import commit, flow, lease, progress
from watershed.speed.flow import Sum
from watershed.speed.time_index import OffsetRange
from watershed.stores.postgres import transaction
from watershed.stores.topics import TopicState
from watershed.timestamps import floored

START = datetime(2026, 10, 31, 22, 0, tzinfo=UTC)
"""Two hours before a month ends, so that facts lie in two parts."""

WIDTH_S = 300
WIDTH = timedelta(seconds=WIDTH_S)
PARTITIONS = 2
TOPIC_ID = "topic-1"
BRANCHES, CURRENCIES = ("Kazan", "SPB", "Surgut"), ("RUB", "USD", "EUR")
register_uuid()
T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """A valid event where Kafka put it; ``payload`` stands for the hash of its fields."""

    arrival: datetime
    partition: int
    offset: int
    id: UUID
    branch: str
    currency: str
    amount: Decimal
    happened: datetime
    payload: int

    @property
    def order(self) -> tuple[Any, ...]:
        return self.arrival, TOPIC_ID, self.partition, self.offset


@dataclass
class World:
    """The records that have arrived; ``clock`` is an arrival time before which all have."""

    connection: Connection
    contract: Contract
    clock: datetime
    records: list[Record] = field(default_factory=list)
    epoch: int = 0
    next_offset: Counter[int] = field(default_factory=Counter)

    def start(self) -> None:
        """Take the stream's place."""
        topic = dict.fromkeys(range(PARTITIONS), 0)
        state = TopicState(self.contract.topic.name, TOPIC_ID, topic, topic)
        progress.resume(self.connection, self.contract, state)
        epoch = lease.acquire(self.connection, self.contract.type, "test")
        assert epoch is not None
        self.epoch = epoch
        with self.connection:
            self.connection.cursor().execute(
                "INSERT INTO control.reference_snapshot (folder, tables) VALUES ('one', '{}')"
            )

    def pass_time(self, until: datetime) -> None:
        """Nothing more arrives before ``until``."""
        lease_epoch, ends = self.epoch, {p: self.next_offset[p] for p in range(PARTITIONS)}
        progress.advance_idle(
            self.connection, self.contract.type, TOPIC_ID, lease_epoch, ends, until
        )
        self.clock = until

    def arrive(self, records: Iterable[Record]) -> list[Record]:
        """Commit records, in order of arrival, with the offsets that follow; as they are then."""
        placed = []
        for record in sorted(records, key=lambda r: r.arrival):
            placed.append(replace(record, offset=self.next_offset[record.partition]))
            self.next_offset[record.partition] += 1
        ranges = [self._range(p, [r for r in placed if r.partition == p])
                  for p in {r.partition for r in placed}]  # fmt: skip
        commit.commit(self.connection, self.contract, TOPIC_ID, self.epoch, ranges, sums(placed))
        self.records += placed
        return placed

    def _range(self, partition: int, placed: list[Record]) -> OffsetRange:
        first, last = placed[0], placed[-1]
        return OffsetRange(
            partition, first.offset, last.offset + 1, first.arrival, last.arrival, len(placed), 0
        )

    def within(self, interval: Interval) -> list[Record]:
        found = [r for r in self.records if interval.start <= r.arrival < interval.end]
        return sorted(found, key=lambda r: r.order)

    def begin(
        self, wanted: Interval | None = None, width_s: int = WIDTH_S, snapshot: int = 1
    ) -> Attempt:
        """Begin an attempt at a range, or at all that is not final yet."""
        intervals = self.plan(wanted, width_s)
        assert intervals
        return self.read(attempts.begin, self.contract, intervals, snapshot, "query", "test")

    def plan(
        self, wanted: Interval | None = None, width_s: int = WIDTH_S, events_max: int = 1_000_000
    ) -> list[Interval]:
        """The intervals of a range, or all that are not final yet."""
        origin = Origin.FORM if wanted else Origin.NOTHING
        asked = Asked(self.contract.type, origin, wanted)
        return self.read(run.intervals, self.contract, asked, width_s, events_max)

    def pending(self, width_s: int = WIDTH_S) -> Interval | None:
        """The range of all that is not final yet."""
        intervals = self.plan(width_s=width_s)
        return Interval(intervals[0].start, intervals[-1].end) if intervals else None

    def skip(self, interval: Interval) -> None:
        ledger.skip(self.connection, self.contract, interval)

    def load(self, attempt: Attempt, dropped: int = 0, rows: list[Any] | None = None) -> None:
        """Load what a Spark job would; ``rows`` in its place, ``dropped`` fewer than it notes."""
        staging_table.make(self.connection, attempt)
        loaded, found_rows = [], []
        for interval in attempt.intervals:
            found = self.within(interval)
            seen: set[UUID] = set()
            for record in found:
                found_rows.append(staging_row(record, interval, record.id not in seen))
                seen.add(record.id)
            loaded.append(Loaded(interval, len(found), len(found) - len(seen), {}))
        self.stage(attempt, (found_rows if rows is None else rows)[dropped:])
        attempts.note_loaded(self.connection, attempt, loaded)

    def stage(self, attempt: Attempt, rows: list[Any]) -> None:
        with self.connection:
            execute_values(
                self.connection.cursor(),
                f"INSERT INTO staging.{staging_table.name(attempt)} ({STAGED}) VALUES %s",
                rows,
            )

    def finalize(self, wanted: Interval | None = None, snapshot: int = 1) -> Attempt:
        """A whole run."""
        attempt = self.begin(wanted, snapshot=snapshot)
        self.load(attempt)
        found = quality_checks.check_staging(self.connection, self.contract, attempt)
        assert all(one.ok for one in found), found
        publish.publish(self.connection, self.contract, attempt)
        return attempt

    def read(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function gives in a transaction."""
        with transaction(self.connection) as cursor:
            return function(cursor, *arguments)

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.connection:
            cursor = self.connection.cursor()
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


STAGED = (
    "transaction_id, event_time, branch, region, city, currency, currency_name, amount,"
    " amount_eur, amount_rub, interval_start, arrival_time, topic_id, kafka_partition,"
    " kafka_offset, payload_hash, unmatched, is_first"
)


def staging_row(record: Record, interval: Interval, is_first: bool) -> tuple[Any, ...]:
    """What enrich.sql makes of a record."""
    return (
        record.id, record.happened, record.branch, "region", "city", record.currency, "name",
        record.amount, record.amount * 2, record.amount * 3, interval.start, record.arrival,
        TOPIC_ID, record.partition, record.offset, record.payload, None, is_first,
    )  # fmt: skip


def sums(records: Iterable[Record]) -> list[Sum]:
    """The flow's sums of records."""
    found: dict[tuple[Any, ...], list[Decimal]] = defaultdict(list)
    for record in records:
        window = floored(record.arrival, 2)
        found[window, record.branch, record.currency].append(record.amount)
    return [
        Sum(window, groups, flow.total(amounts), len(amounts))
        for (window, *rest), amounts in found.items()
        for groups in [tuple(rest)]
    ]


def some_records(
    dice: random.Random, known: list[Record], start: datetime, end: datetime, count: int
) -> list[Record]:
    """Records that arrive in ``[start, end)``; a third repeat the id of a known one, and some of
    those with other content."""
    found: list[Record] = []
    for _ in range(count):
        arrival = start + timedelta(milliseconds=dice.randrange(_ms(end - start)))
        again = dice.choice([*known, *found]) if (known or found) and dice.random() < 0.35 else None
        late = timedelta(seconds=dice.choice([1, 5, 4000]))
        new = Record(
            arrival, dice.randrange(PARTITIONS), 0, UUID(int=dice.getrandbits(128), version=4),
            dice.choice(BRANCHES), dice.choice(CURRENCIES),
            Decimal(dice.randrange(-10_000, 10_001)) / 100, arrival - late, dice.getrandbits(62),
        )  # fmt: skip
        if again is not None:
            same = dice.random() < 0.8
            new = replace(again if same else replace(new, id=again.id), arrival=arrival)
            new = replace(new, partition=dice.randrange(PARTITIONS))
        found.append(new)
    return found


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
