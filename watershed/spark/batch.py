"""One micro-batch, in the one order that survives a kill between any two writes.

quarantine -> raw -> critical rows -> the commit in PostgreSQL -> the cache. What comes before the
commit is keyed by Kafka's offsets and written again, the same, when a batch is repeated; the
commit happens once, by compare-and-set; the cache follows the commits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg2.extensions import connection as Connection
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from watershed.caching import CacheWriter
from watershed.contracts.model import Contract
from watershed.errors import ProgressError
from watershed.failpoint import failpoint
from watershed.settings import Settings
from watershed.spark.cassandra import append
from watershed.spark.validate import validated
from watershed.stores import critical, quarantine, raw
from watershed.stores.cache import Change
from watershed.stores.commit import OffsetRange, commit
from watershed.stores.control import Progress, progress
from watershed.stores.critical import CriticalEvent
from watershed.stores.flow import Sum

HOUR_S = 3_600


@dataclass(frozen=True)
class BatchWriter:
    """Writes the micro-batches of one contract's query; ``write`` is its ``foreachBatch``."""

    settings: Settings
    contract: Contract
    generation: str
    connection: Connection
    cache: CacheWriter

    def write(self, records: DataFrame, _batch_id: int) -> None:
        """Write one batch. Any error leaves it uncommitted: it is then read again."""
        before = progress(self.connection, self.contract.type, self.generation)
        self.connection.rollback()
        events = prepared(records, self.contract, self.generation, before).persist()
        try:
            self._write(events)
        finally:
            events.unpersist()

    def _write(self, events: DataFrame) -> None:
        totals = summed(events, self.contract).collect()
        if not totals:
            return
        ranges = offset_ranges(totals)
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
        table, buckets = critical.tables(self.contract)
        append(rows, self.settings, table.name, list(table.columns), table.ttl_days)
        once = rows.dropDuplicates(list(buckets.columns))
        append(once, self.settings, buckets.name, list(buckets.columns), buckets.ttl_days)
        return [
            CriticalEvent(row.entity, row.event_time, row.event_id, row.event)
            for row in newest(rows, self.contract.critical.keep).collect()
        ]

    def _fail(self, name: str) -> None:
        failpoint(name, self.settings.scratch_dir)


def prepared(
    records: DataFrame, contract: Contract, generation: str, before: dict[int, Progress]
) -> DataFrame:
    """Kafka's records as validated events with their raw key, arrival time and critical flag."""
    stamped = records.select(
        F.col("key"),
        F.col("value"),
        F.lit(generation).alias("generation"),
        F.col("partition").alias("kafka_partition"),
        F.expr(f"offset div {raw.BLOCK}").alias("offset_block"),
        F.col("offset").alias("kafka_offset"),
        F.col("timestamp").alias("kafka_time"),
        F.greatest("timestamp", _watermark(before)).alias("arrival_time"),
    )
    events = validated(stamped, contract)
    rule = F.expr(contract.critical.when)
    return events.withColumn("_critical", F.coalesce(rule, F.lit(False)))


def _watermark(before: dict[int, Progress]) -> Column:
    """The watermark published for a record's partition: no later record may arrive before it."""
    known = {p: state.watermark for p, state in before.items() if state.watermark}
    published = F.lit(None).cast("timestamp")
    for partition, watermark in known.items():
        at = F.timestamp_millis(F.lit(_milliseconds(watermark)))
        published = F.when(F.col("partition") == partition, at).otherwise(published)
    return published


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp()) * 1000 + time.microsecond // 1000


def valid(events: DataFrame) -> DataFrame:
    """The events that are not quarantined."""
    return events.where(F.col("_reason").isNull())


def summed(events: DataFrame, contract: Contract) -> DataFrame:
    """One row per Kafka partition, flow window, group and validity: all that the commit needs.

    Out: ``kafka_partition, window, groups, valid, first, last, count, critical, arrival_min,
    arrival_max, value``; window, groups and value only of valid events.
    """
    width = contract.flow.window_s
    is_valid = F.col("_reason").isNull()
    window = F.expr(f"timestamp_seconds(unix_seconds(arrival_time) div {width} * {width})")
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
            F.sum(contract.measure[1]).alias("value"),
        )
    )  # fmt: skip


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
            "set the topic's cleanup.policy to delete, and let producers write without transactions",
        )
    arrivals = [row.arrival_min for row in rows], [row.arrival_max for row in rows]
    return OffsetRange(partition, first, end, min(arrivals[0]), max(arrivals[1]), stored, quarantined)


def sums(totals: Iterable[Row]) -> list[Sum]:
    """The flow of the batch: partitions are added up."""
    found: dict[tuple[Any, ...], tuple[Decimal, int]] = {}
    for row in totals:
        if row.valid:
            key = (row.window, tuple(row.groups))
            value, count = found.get(key, (Decimal(0), 0))
            found[key] = (value + row.value, count + row.events)
    return [Sum(window, groups, *total) for (window, groups), total in found.items()]


def critical_rows(events: DataFrame, contract: Contract) -> DataFrame:
    """The rows of ``critical_<type>``, with ``kafka_time`` and ``arrival_time``."""
    width_s = contract.critical.bucket_hours * HOUR_S
    bucket = F.expr(f"timestamp_seconds(unix_seconds({contract.event_time}) div {width_s} * {width_s})")
    return valid(events).where("_critical").select(
        F.col(contract.entity).cast("string").alias("entity"),
        bucket.alias("bucket"),
        F.col(contract.event_time).alias("event_time"),
        F.col(contract.event_id).alias("event_id"),
        "kafka_partition",
        "kafka_offset",
        F.to_json(F.struct(*contract.fields)).alias("event"),
        "kafka_time",
        "arrival_time",
    )  # fmt: skip


def newest(rows: DataFrame, keep: int) -> DataFrame:
    """The rows that can be among an entity's ``keep`` newest: nothing else need leave Spark."""
    order = Window.partitionBy("entity").orderBy(
        F.desc("event_time"), F.desc("event_id"), F.asc("kafka_offset")
    )
    return rows.withColumn("_rank", F.row_number().over(order)).where(F.col("_rank") <= keep)
