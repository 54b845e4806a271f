"""One micro-batch, in the one order that survives a kill between any two writes.

quarantine -> raw -> critical rows -> the commit in PostgreSQL -> the cache. What comes before the
commit is keyed by Kafka's offsets and written again, the same, when a batch is repeated; the
commit happens once, by compare-and-set; the cache follows the commits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from watershed.caching import CacheWriter
from watershed.contracts.model import Contract
from watershed.errors import OvertakenError, ProgressError
from watershed.failpoint import failpoint
from watershed.settings import Settings
from watershed.spark.cassandra import append
from watershed.spark.validate import validated
from watershed.stores import critical, quarantine, raw
from watershed.stores.cache import Change, milliseconds
from watershed.stores.commit import OffsetRange, commit
from watershed.stores.control import Progress, progress
from watershed.stores.critical import CriticalEvent
from watershed.stores.flow import Sum, total

HOUR_S = 3_600
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class BatchWriter:
    """Writes the micro-batches of one contract's query; ``write`` is its ``foreachBatch``."""

    settings: Settings
    contract: Contract
    generation: str
    connection: Connection
    session: Session
    cache: CacheWriter

    def write(self, frame: DataFrame, _batch_id: int) -> None:
        """Write one batch of :func:`events_of`; after any error it is read again."""
        before = progress(self.connection, self.contract.type, self.generation)
        self.connection.rollback()
        now = datetime.now(UTC)
        frame.persist()  # unstamped: what stamps add is cheaper to make again than to keep
        try:
            events = stamped(frame, self.generation, before, now)
            self._write(events, known=set(before))
        finally:
            frame.unpersist()

    def _write(self, events: DataFrame, known: set[int]) -> None:
        totals = summed(events, self.contract).collect()
        if not totals:
            return
        ranges = offset_ranges(totals)
        if new := {one.partition for one in ranges} - known:
            raise OvertakenError(f"partitions {new} are new: starting again adopts them")
        self._fail("before_quarantine")
        if any(one.quarantined for one in ranges):
            self._append_quarantine(events)
        self._fail("after_quarantine")
        self._append_raw(events)
        self._fail("after_raw")
        newest = self._append_critical(events) if any(row.critical for row in totals) else []
        self._fail("after_critical")
        done = commit(self.connection, self.contract, self.generation, ranges, sums(totals))
        self._fail("after_commit")
        self.cache.put(Change(done.sequence, done.positions, newest))

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
        found = rows.select(*CriticalEvent._fields, "bucket", "kafka_offset").collect()
        buckets = {(row.entity, row.bucket) for row in found}
        keyspace = self.settings.cassandra_keyspace
        critical.add_buckets(self.session, keyspace, self.contract, buckets)
        found.sort(key=attrgetter("kafka_offset"))  # of equal ones the first arrival counts
        return newest([CriticalEvent(*row[:4]) for row in found], self.contract.critical.keep)

    def _fail(self, name: str) -> None:
        failpoint(name, self.settings.scratch_dir)


def events_of(records: DataFrame, contract: Contract) -> DataFrame:
    """Kafka's records as validated events with ``_critical``: planned once, when a query starts."""
    named = records.select(
        "key",
        "value",
        F.col("partition").alias("kafka_partition"),
        F.col("offset").alias("kafka_offset"),
        F.col("timestamp").alias("kafka_time"),
    )
    rule = F.expr(contract.critical.when)
    return validated(named, contract).withColumns(
        {
            "key": F.when(F.col("_reason").isNotNull(), F.col("key")),  # quarantine alone has it
            "_critical": F.coalesce(rule, F.lit(False)),
        }
    )


def stamped(
    events: DataFrame, generation: str, before: dict[int, Progress], now: datetime
) -> DataFrame:
    """A batch's events with their raw key, arrival time and age.

    ``age_s``, seconds between Kafka time and ``now``, tells what remains of the row's life.
    """
    watermarks = {p: milliseconds(state.watermark or EPOCH) for p, state in before.items()}
    published = F.timestamp_millis(_constant(watermarks))
    now_s = _constant(dict.fromkeys(before, milliseconds(now) // 1000))
    return events.withColumns(
        {
            "generation": F.lit(generation),
            "offset_block": F.expr(f"kafka_offset div {raw.BLOCK}"),
            # No record may arrive before the watermark that was published for its partition.
            "arrival_time": F.greatest("kafka_time", published),
            "age_s": now_s - F.unix_seconds("kafka_time"),
        }
    )


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


def summed(events: DataFrame, contract: Contract) -> DataFrame:
    """One row per Kafka partition, flow window, group and validity: all that the commit needs.

    Out: ``kafka_partition, window, groups, valid, first, last, count, critical, arrival_min,
    arrival_max, value``; window, groups and value only of valid events.
    """
    is_valid = F.col("_reason").isNull()
    window = floored("arrival_time", contract.flow.window_s)
    groups = F.struct(*contract.flow.group_by.values())
    return (
        events.groupBy(
            "kafka_partition",
            F.when(is_valid, window).alias("window"),
            F.when(is_valid, groups).alias("groups"),
            is_valid.alias("valid"),
        )
        .agg(
            F.min("kafka_offset").alias("first"),
            F.max("kafka_offset").alias("last"),
            F.count("*").alias("events"),
            F.count_if(F.col("_critical")).alias("critical"),
            F.min("arrival_time").alias("arrival_min"),
            F.max("arrival_time").alias("arrival_max"),
            F.sum(_summable(contract)).alias("value"),
        )
    )  # fmt: skip


def _summable(contract: Contract) -> Column:
    """The measure as a decimal: Spark's sum of 64-bit integers wraps around in silence."""
    field = contract.measure[1]
    return F.col(field) if contract.fields[field].decimal else F.col(field).cast("decimal(20,0)")


def floored(time: str, width_s: int) -> Column:
    """The start of the window that a time column falls into; windows are counted from 1970."""
    return F.expr(f"timestamp_seconds(unix_seconds({time}) div {width_s} * {width_s})")


def offset_ranges(totals: list[Row]) -> list[OffsetRange]:
    """What the batch has of each partition. Raises ProgressError if records are missing in it."""
    by_partition: dict[int, list[Row]] = defaultdict(list)
    for row in totals:
        by_partition[row.kafka_partition].append(row)
    return [_range(partition, rows) for partition, rows in by_partition.items()]


def _range(partition: int, rows: list[Row]) -> OffsetRange:
    first, end = min(row.first for row in rows), max(row.last for row in rows) + 1
    stored = sum(row.events for row in rows if row.valid)
    quarantined = sum(row.events for row in rows if not row.valid)
    if stored + quarantined != end - first:
        raise ProgressError(
            f"partition {partition}: {end - first} offsets from {first} have"
            f" {stored + quarantined} records: the topic is compacted, or written in transactions",
            "set the topic's cleanup.policy to delete; let producers write without transactions",
        )
    arrivals = [row.arrival_min for row in rows], [row.arrival_max for row in rows]
    return OffsetRange(
        partition, first, end, min(arrivals[0]), max(arrivals[1]), stored, quarantined
    )


def sums(totals: Iterable[Row]) -> list[Sum]:
    """The flow of the batch: partitions are added up."""
    found: dict[tuple[datetime, tuple[Any, ...]], list[Row]] = defaultdict(list)
    for row in totals:
        if row.valid:
            found[row.window, tuple(row.groups)].append(row)
    return [
        Sum(window, groups, total(row.value for row in rows), sum(row.events for row in rows))
        for (window, groups), rows in found.items()
    ]


def critical_rows(events: DataFrame, contract: Contract) -> DataFrame:
    """The rows of ``critical_<type>``, with ``arrival_time`` and ``age_s``."""
    bucket = floored(contract.event_time, contract.critical.bucket_hours * HOUR_S)
    return valid(events).where("_critical").select(
        F.col(contract.entity).cast("string").alias("entity"),
        bucket.alias("bucket"),
        F.col(contract.event_time).alias("event_time"),
        F.col(contract.event_id).alias("event_id"),
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
