"""Totals of a micro-batch: offsets, sums and times, and whether they can be right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from watershed.contracts.model import Contract
from watershed.errors import ProgressError
from watershed.speed.flow import Sum, total
from watershed.speed.progress import Progress
from watershed.speed.time_index import OffsetRange
from watershed.timestamps import milliseconds


def summed(events: DataFrame, contract: Contract) -> DataFrame:
    """One row per Kafka partition, flow window, group and validity: all that the commit needs.

    Out: ``kafka_partition, window, groups, valid, first, last, count, critical, arrival_min,
    arrival_max, believed_min, may_miss, value``; window, groups and value only of valid events.
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
            F.min("_believed_time").alias("believed_min"),
            F.count_if(F.col("_may_miss")).alias("may_miss"),
            F.sum(summable(contract)).alias("value"),
        )
    )  # fmt: skip


def summable(contract: Contract) -> Column:
    """The measure as a decimal: Spark's sum of 64-bit integers wraps around in silence."""
    field = contract.measure[1]
    return F.col(field) if contract.fields[field].decimal else F.col(field).cast("decimal(20,0)")


def floored(time: str, width_s: int) -> Column:
    """The start of the window that a time column falls into; windows are counted from 1970."""
    return F.expr(f"timestamp_seconds(unix_seconds({time}) div {width_s} * {width_s})")


def offset_ranges(
    contract: Contract, totals: list[Row], before: dict[int, Progress]
) -> list[OffsetRange]:
    """What the batch has of each partition. Raises ProgressError if records are missing in it."""
    by_partition: dict[int, list[Row]] = defaultdict(list)
    for row in totals:
        by_partition[row.kafka_partition].append(row)
    return [_range(contract, p, rows, before[p]) for p, rows in by_partition.items()]


def _range(contract: Contract, partition: int, rows: list[Row], state: Progress) -> OffsetRange:
    first, end = min(row.first for row in rows), max(row.last for row in rows) + 1
    until = state.holes_until or 0  # before it offsets may have no record, also at the beginning
    first = state.next if state.next < first <= until else first
    skipped = max(0, min(end, until) - first) - sum(row.may_miss for row in rows)
    stored = sum(row.events for row in rows if row.valid)
    quarantined = sum(row.events for row in rows if not row.valid)
    if stored + quarantined + skipped != end - first:
        raise ProgressError(
            f"{contract.topic.name}/{partition}: the offsets [{first}, {end}) have only"
            f" {stored + quarantined} records: the topic is compacted, or written in transactions",
            "set its cleanup.policy to delete, let producers write without transactions; then"
            f" ./ws repair holes {contract.type} skips the offsets that have no record",
        )
    arrivals = [row.arrival_min for row in rows], [row.arrival_max for row in rows]
    return OffsetRange(
        partition, first, end, min(arrivals[0]), max(arrivals[1]), stored, quarantined, skipped
    )


def check_clock(
    contract: Contract,
    totals: list[Row],
    before: dict[int, Progress],
    now: datetime,
    limit_s: int,
) -> None:
    """Raise ProgressError for Kafka times that cannot be right.

    From the future they would carry the watermark there: no later event could arrive before it.
    From before the watermark they would make good events look like future ones.
    """
    for row in totals:
        published = before[row.kafka_partition].watermark
        ahead_ms = milliseconds(row.arrival_max) - milliseconds(now)
        behind_ms = 0
        if published and row.believed_min:
            behind_ms = milliseconds(published) - milliseconds(row.believed_min)
        if max(ahead_ms, behind_ms) > limit_s * 1000:
            wrong = row.arrival_max if ahead_ms > behind_ms else row.believed_min
            than = "from now" if ahead_ms > behind_ms else "before a stored record"
            raise ProgressError(
                f"{contract.topic.name}/{row.kafka_partition}: among the records"
                f" [{row.first}, {row.last + 1}) are some that Kafka received at"
                f" {wrong:%Y-%m-%dT%H:%M:%SZ}, {max(ahead_ms, behind_ms) // 1000:,} s {than}",
                "correct the clock of the broker (or of this machine); then ./ws repair clock"
                f" {contract.type} lets records that came with a wrong time arrive now",
            )


def check_broker(
    contract: Contract,
    known: dict[int, Progress],
    broker_now: datetime,
    now: datetime,
    limit_s: int,
) -> None:
    """Raise ProgressError if Kafka's clock is wrong, before a watermark is taken from it."""
    latest = max((one.watermark for one in known.values() if one.watermark), default=broker_now)
    if max(broker_now - now, latest - broker_now).total_seconds() > limit_s:
        raise ProgressError(
            f"{contract.type}: Kafka's clock shows {broker_now:%Y-%m-%dT%H:%M:%SZ}, this machine's"
            f" {now:%Y-%m-%dT%H:%M:%SZ}; events are stored up to {latest:%Y-%m-%dT%H:%M:%SZ}",
            "correct the wrong clock; the stream then goes on by itself",
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
