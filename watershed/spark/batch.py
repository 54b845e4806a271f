"""The writes of a micro-batch, in the one order that survives a kill between any two.

quarantine -> raw -> critical rows -> the commit in PostgreSQL -> the cache. What comes before the
commit is keyed by Kafka's offsets and written again, the same, when a batch is repeated; the
commit happens once, by compare-and-set; the cache follows the commits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from watershed.contracts.model import Contract
from watershed.errors import OvertakenError
from watershed.failpoint import failpoint
from watershed.settings import Settings
from watershed.spark.cassandra import append
from watershed.spark.totals import (
    check_broker,
    check_clock,
    floored,
    offset_ranges,
    summed,
    sums,
)
from watershed.spark.validate import JUDGED, validated
from watershed.speed import critical, progress
from watershed.speed.cache import Change
from watershed.speed.cache_writer import CacheWriter
from watershed.speed.commit import commit
from watershed.speed.critical import CriticalEvent
from watershed.speed.progress import Progress
from watershed.stores import quarantine, raw
from watershed.stores.clients import Clients
from watershed.stores.postgres import transaction
from watershed.stores.topics import Broker
from watershed.timestamps import EPOCH, milliseconds

HOUR_S = 3_600


@dataclass(frozen=True)
class BatchWriter:
    """Writes the micro-batches of one contract's query; ``write`` is its ``foreachBatch``."""

    clients: Clients
    contract: Contract
    topic_id: str
    epoch: int
    cache: CacheWriter
    broker: Broker

    @property
    def settings(self) -> Settings:
        return self.clients.settings

    def advance_idle(self, margin: timedelta) -> bool:
        """Move the watermark of partitions with nothing to read to the broker's time less margin.

        Not while a batch is written. Returns whether nothing is left to read anywhere. Raises
        OvertakenError when the topic is another one, or has more partitions than are known.
        """
        now = self.broker.now()
        topic = self.broker.topic()
        known = self._progress()
        check_broker(self.contract, known, now, datetime.now(UTC), self.settings.broker_ahead_max_s)
        if topic.topic_id != self.topic_id or topic.end.keys() - known.keys():
            raise OvertakenError(f"topic {topic.name} has changed: starting again adopts it")
        ends, kind = topic.end, self.contract.type
        connection = self.clients.postgres
        progress.advance_idle(connection, kind, self.topic_id, self.epoch, ends, now - margin)
        return all(end == known[partition].next for partition, end in ends.items())

    def write(self, frame: DataFrame, _batch_id: int) -> None:
        """Write one batch of :func:`events_of`; after any error it is read again."""
        before = self._progress()
        now = datetime.now(UTC)
        frame.persist()  # unstamped: what stamps add is cheaper to make again than to keep
        try:
            events = stamped(frame, self.topic_id, before, now)
            self._write(events, before, now)
        finally:
            frame.unpersist()

    def _progress(self) -> dict[int, Progress]:
        with transaction(self.clients.postgres) as cursor:
            return progress.read(cursor, self.contract.type, self.topic_id)

    def _write(self, events: DataFrame, before: dict[int, Progress], now: datetime) -> None:
        totals = summed(events, self.contract).collect()
        if not totals:
            return
        if new := {row.kafka_partition for row in totals} - before.keys():
            raise OvertakenError(f"partitions {new} are new: starting again adopts them")
        ranges = offset_ranges(self.contract, totals, before)
        if self.broker.topic_id() != self.topic_id:
            raise OvertakenError("these records are of another topic: starting again tells")
        check_clock(self.contract, totals, before, now, self.settings.broker_ahead_max_s)
        added = sums(totals)  # as all else of them, before the first write
        if any(offsets.quarantined for offsets in ranges):
            self._append_quarantine(events)
            self._fail("after_quarantine")
        self._append_raw(events)
        self._fail("after_raw")
        to_cache: list[CriticalEvent] = []
        if any(row.critical for row in totals):
            to_cache = self._append_critical(events)
            self._fail("after_critical")
        connection = self.clients.postgres
        done = commit(connection, self.contract, self.topic_id, self.epoch, ranges, added)
        self._fail("after_commit")
        self.cache.put(Change(done.sequence, done.positions, to_cache))

    def _append_quarantine(self, events: DataFrame) -> None:
        rejected = events.where(F.col("_reason").isNotNull()).select(
            "*",
            F.lit(self.contract.type).alias("type"),
            F.col("_reason").alias("reason"),
            F.col("_detail").alias("detail"),
        )
        days = self.contract.retention.quarantine_ttl_days
        table = quarantine.table()
        append(rejected, self.settings, table.name, list(table.columns), days)

    def _append_raw(self, events: DataFrame) -> None:
        table = raw.table(self.contract)
        append(valid(events), self.settings, table.name, list(table.columns), table.ttl_days)

    def _append_critical(self, events: DataFrame) -> list[CriticalEvent]:
        """Write the critical rows; those that may belong into the cache."""
        rows = critical_rows(events, self.contract)
        table, _ = critical.tables(self.contract)
        append(rows, self.settings, table.name, list(table.columns), table.ttl_days)
        self._fail("after_critical_rows")
        found = rows.select(*CriticalEvent._fields, "bucket", "kafka_offset").collect()
        buckets = {(row.entity, row.bucket) for row in found}
        critical.add_buckets(self.clients.cassandra, self.contract, buckets)
        found.sort(key=attrgetter("kafka_offset"))  # of equal ones the first arrival counts
        return newest([CriticalEvent(*row[:4]) for row in found], self.contract.critical.keep)

    def _fail(self, name: str) -> None:
        failpoint(name, self.settings.scratch_dir)


def events_of(records: DataFrame, contract: Contract, at: dict[int, Progress]) -> DataFrame:
    """Kafka's records as validated events with ``_critical``: planned once, when a query starts.

    ``at`` is where it starts, with what operators said of wrong Kafka times.
    """
    named = records.select(
        "key",
        "value",
        F.col("partition").alias("kafka_partition"),
        F.col("offset").alias("kafka_offset"),
        F.col("timestamp").alias("kafka_time"),
    )
    if any((state.untimed_until or 0) > state.next for state in at.values()):
        until, untimed_at = untimed(at)
        judged = F.when(until, F.greatest("kafka_time", untimed_at)).otherwise(F.col("kafka_time"))
        named = named.withColumn(JUDGED, judged)
    rule = F.expr(contract.critical.when)
    return validated(named, contract).withColumns(
        {
            "key": F.when(F.col("_reason").isNotNull(), F.col("key")),  # quarantine alone has it
            "_critical": F.coalesce(rule, F.lit(False)),
        }
    )


def stamped(
    events: DataFrame, topic_id: str, before: dict[int, Progress], now: datetime
) -> DataFrame:
    """A batch's events with their raw key, arrival time and age.

    ``age_s``, seconds between Kafka time and ``now``, tells what remains of the row's life.
    """
    watermarks = {p: milliseconds(state.watermark or EPOCH) for p, state in before.items()}
    published = F.timestamp_millis(_constant(watermarks))
    wrong, latest = untimed(before)
    came = F.when(wrong, F.least("kafka_time", latest)).otherwise(F.col("kafka_time"))
    holes = {p: state.holes_until or 0 for p, state in before.items()}
    now_s = _constant(dict.fromkeys(before, milliseconds(now) // 1000))
    return events.withColumns(
        {
            "topic_id": F.lit(topic_id),
            "offset_block": F.expr(f"kafka_offset div {raw.BLOCK}"),
            # No record may arrive before the watermark that was published for its partition.
            "arrival_time": F.greatest(came, published),
            "_believed_time": F.when(~wrong, F.col("kafka_time")),
            "_may_miss": F.col("kafka_offset") < _constant(holes),
            "age_s": F.greatest(F.lit(0), now_s - F.unix_seconds("kafka_time")),
        }
    )


def untimed(at: dict[int, Progress]) -> tuple[Column, Column]:
    """Whether a record's Kafka time is wrong, as an operator said, and what stands for it."""
    until = _constant({p: state.untimed_until or 0 for p, state in at.items()})
    instead = _constant({p: milliseconds(state.untimed_at or EPOCH) for p, state in at.items()})
    return F.col("kafka_offset") < until, F.timestamp_millis(instead)


def _constant(by_partition: dict[int, int]) -> Column:
    """A number per Kafka partition that changes from batch to batch.

    Spark writes a plain number into the code it generates, and would compile every batch anew;
    a map it hands over beside the code.
    """
    pairs = [F.lit(part) for pair in by_partition.items() for part in pair]
    return F.create_map(*pairs)[F.col("kafka_partition")].cast("bigint")


def valid(events: DataFrame) -> DataFrame:
    """The events that are not quarantined."""
    return events.where(F.col("_reason").isNull())


def critical_rows(events: DataFrame, contract: Contract) -> DataFrame:
    """The rows of ``critical_<type>``, with ``arrival_time`` and ``age_s``."""
    bucket = floored(contract.event_time, contract.critical.bucket_hours * HOUR_S)
    return valid(events).where("_critical").select(
        F.col(contract.entity).cast("string").alias("entity"),
        bucket.alias("bucket"),
        F.col(contract.event_time).alias("event_time"),
        F.col(contract.event_id).alias("event_id"),
        "topic_id",
        "kafka_partition",
        "kafka_offset",
        F.to_json(F.struct(*contract.fields)).alias("event"),
        "arrival_time",
        "age_s",
    )  # fmt: skip


def newest(events: Iterable[CriticalEvent], keep: int) -> list[CriticalEvent]:
    """The events that can be among an entity's ``keep`` newest: the cache needs no other.

    Of events with one id the newest counts, then the first: ``events`` come by Kafka's offsets.
    """
    latest = attrgetter("event_time", "event_id")
    by_entity: dict[str, dict[str, CriticalEvent]] = defaultdict(dict)
    for event in sorted(events, key=latest, reverse=True):  # stable: equal ones keep their order
        by_entity[event.entity].setdefault(event.event_id, event)
    return [event for found in by_entity.values() for event in list(found.values())[:keep]]
