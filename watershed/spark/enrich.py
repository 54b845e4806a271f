"""The enrichment of events: first arrivals, the contract's query, and whether it kept every event
as it was. DataFrames in, DataFrames out; the session's time zone must be UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NullType,
    ShortType,
    StringType,
    TimestampType,
)

from watershed.batch.intervals import Interval
from watershed.contracts.derived import RECORD
from watershed.contracts.model import UNMATCHED, Contract, decimal_of
from watershed.contracts.query import Query
from watershed.contracts.rules import EVENT
from watershed.errors import ContractError
from watershed.spark.totals import summable
from watershed.speed.flow import total

NAMES = ArrayType(StringType())
DIGITS: dict[type[DataType], int] = {ByteType: 3, ShortType: 5, IntegerType: 10, LongType: 19}
"""How many an exact number of this type may have; a decimal says so itself."""

TYPES: dict[str, tuple[type[DataType], ...]] = {
    "integer": (LongType,),
    "string": (StringType,),
    "uuid": (StringType,),
    "boolean": (BooleanType,),
    "double": (DoubleType, FloatType, IntegerType, ShortType, ByteType),
    "timestamp": (TimestampType,),
    "date": (DateType,),
}
WEIGHTS = 997
"""How many weights the digest gives to events, by their hash."""


class Measured(NamedTuple):
    """Events of an interval: how many, of which ``repeated`` are not the first of their id, the
    sum of the flow's measure, and a ``digest`` that tells other events with the same sum."""

    events: int
    repeated: int
    measure: Decimal
    digest: Decimal


def events(rows: DataFrame, contract: Contract, intervals: Sequence[Interval]) -> DataFrame:
    """The view ``event``: rows of the raw store with interval, hash, and whether they are first.

    First is, of those with one id in an interval, the first by arrival time, topic_id, partition
    and offset. ``intervals`` are adjacent and in order.
    """
    order = Window.partitionBy("interval_start", contract.event_id).orderBy("arrival_time", *RECORD)
    return rows.select(
        "*",
        interval_start("arrival_time", intervals).alias("interval_start"),
        payload_hash(contract).alias("payload_hash"),
    ).withColumn("is_first", F.row_number().over(order) == 1)


def payload_hash(contract: Contract) -> Column:
    """A hash of all fields, in the contract's order.

    Spark's leaves nulls out, so the names of those that are there are hashed too, where a contract
    lets any be absent. An event that has none of them keeps its hash when a version adds one.
    """
    there = [
        F.when(F.isnotnull(name), F.lit(name))
        for name, field in contract.fields.items()
        if field.nullable or not field.required
    ]
    return F.xxhash64(*contract.fields, *([F.array_compact(F.array(*there))] if there else []))


def interval_start(time: str, intervals: Sequence[Interval]) -> Column:
    """The start of the interval that a time is in; null where it is in none."""
    found = F.lit(None).cast("timestamp")
    for run, width in reversed(_runs(intervals)):
        start, width_s = int(run.start.timestamp()), int(width.total_seconds())
        within = F.expr(f"(unix_seconds({time}) - {start}) div {width_s} * {width_s} + {start}")
        is_in = (F.col(time) >= F.lit(run.start)) & (F.col(time) < F.lit(run.end))
        found = F.when(is_in, F.timestamp_seconds(within)).otherwise(found)
    return found


def _runs(intervals: Sequence[Interval]) -> list[tuple[Interval, timedelta]]:
    """Adjacent intervals of one width joined, with that width: thousands need few conditions."""
    runs: list[tuple[Interval, timedelta]] = []
    for start, end in intervals:
        last, width = runs[-1] if runs else (None, None)
        if last and last.end == start and width == end - start:
            runs[-1] = Interval(last.start, end), end - start
        else:
            runs.append((Interval(start, end), end - start))
    return runs


def enriched(
    spark: SparkSession, query: Query, event: DataFrame, references: Mapping[str, DataFrame]
) -> DataFrame:
    """What the query makes of the events; ``unmatched`` is null where everything matched.

    Raises ContractError where Spark cannot run it.
    """
    for name, view in {EVENT: event, **references}.items():
        view.createOrReplaceTempView(name)
    try:
        result = spark.sql(query.text)
        names = F.array_compact(F.col(UNMATCHED).cast(NAMES))
        return result.withColumn(UNMATCHED, F.when(F.size(names) > 0, names))
    except AnalysisException as error:
        what = str(error).strip().splitlines()[0]
        cure = "correct it; docs/contracts.md says what it may read"
        raise ContractError(f"{query.path}: {what}", cure) from None


def check_types(contract: Contract, query: Query, result: DataFrame) -> None:
    """Raise ContractError unless every column of the facts has the type that the contract says, or
    one that it holds without loss."""
    for name, column in contract.columns.items():
        returned = result.schema[name].dataType
        if not is_held(returned, column.type):
            raise ContractError(
                f"{query.path} returns `{name}` as {returned.simpleString()}, which the contract's"
                f" {column.type} may not hold",
                f"CAST it there, or describe it in the contract as {returned.simpleString()}",
            )


def is_held(returned: DataType, declared: str) -> bool:
    """Whether each value of a Spark type is one of a contract's type."""
    if isinstance(returned, (NullType, *TYPES.get(declared, ()))):
        return True
    decimal = (18, 0) if declared == "integer" else decimal_of(declared)
    digits = DIGITS.get(type(returned)) or getattr(returned, "precision", None)
    if decimal is None or digits is None:
        return False
    (precision, scale), fraction = decimal, getattr(returned, "scale", 0)
    return bool(fraction <= scale and digits - fraction <= precision - scale)


def measured(events: DataFrame, contract: Contract) -> dict[datetime, Measured]:
    """What there is of each interval, by its start; before the query or after it."""
    found = events.groupBy("interval_start").agg(*aggregates(contract)).collect()
    return {row.interval_start.replace(tzinfo=UTC): Measured(*row[1:5]) for row in found}


def aggregates(contract: Contract) -> list[Column]:
    """:class:`Measured`, over events; :mod:`watershed.spark.staging` has them in PostgreSQL."""
    measure = summable(contract)
    weight = F.pmod("payload_hash", F.lit(WEIGHTS)).cast("decimal(4,0)")
    return [
        F.count("*").alias("events"),
        F.count_if(~F.col("is_first")).alias("repeated"),
        F.sum(measure).alias("measure"),
        F.sum((measure + 1) * weight).alias("digest"),
    ]


def check(
    contract: Contract,
    query: Query,
    before: Mapping[datetime, Measured],
    after: Mapping[datetime, Measured],
) -> None:
    """Raise ContractError unless every event came out of the query once, as it went in."""
    if before == after:
        return
    name, (events, was) = contract.measure[1], _all(before)
    out, now = _all(after)
    if out != events:
        verb = "multiplies" if out > events else "drops"
        what = f"{verb} events: {events:,} went in, {out:,} came out ({out - events:+,})"
    elif now != was:
        by = total([now, -was])
        what = f"alters `{name}`: its sum was {was:,}, and is {now:,} ({by:+,})"
    else:
        what = f"gives other events than it was given, as many and with the same sum of `{name}`"
    cure = "it may add columns, nothing else: LEFT JOIN references on columns that name one row"
    raise ContractError(f"{query.path} {what}", cure)


def _all(found: Mapping[datetime, Measured]) -> tuple[int, Decimal]:
    return sum(one.events for one in found.values()), total(one.measure for one in found.values())
