"""Reading the raw store by key: the events that arrived in an interval, and no others.

The time index names the keys; a Cassandra partition is a key of the connector's direct join. The
range of offsets stands on the table's side of the join, so that Cassandra applies it and the ends
of what is read cost what they hold. So the cost follows the interval, not the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.settings import Settings
from watershed.spark.types import spark_type
from watershed.speed.time_index import ArrivedOffsets
from watershed.stores.raw import BLOCK, table

KEY = ["topic_id", "kafka_partition", "offset_block"]
KEYS = """
    SELECT topic_id, kafka_partition,
        explode(sequence(CAST(:first AS bigint), CAST(:last AS bigint))) AS offset_block
    FROM VALUES (:topic_id, :partition) AS known (topic_id, kafka_partition)
"""
"""The table's partitions of some offsets. Literals would become a filter, and the table be scanned;
rows from Python would start Python's workers."""
COUNTED = "_counted"
"""Marks the rows of batches that lie wholly in an interval: the time index has their number."""


def read(
    spark: SparkSession,
    settings: Settings,
    contract: Contract,
    arrived: Sequence[ArrivedOffsets],
    start: datetime,
    end: datetime,
) -> DataFrame:
    """The valid events with ``arrival_time`` in ``[start, end)``, whose offsets the time index has:
    all columns of the raw table but the block, and ``_counted``."""
    raw = spark.read.format("org.apache.spark.sql.cassandra").options(
        keyspace=settings.cassandra_keyspace, table=contract.type, directJoinSetting="on"
    ).load()  # fmt: skip
    if missing := [name for name in table(contract).columns if name not in raw.columns]:
        raise StoreError(
            f"the raw store of {contract.type} has no column {', '.join(missing)} yet",
            f"start the stream with version {contract.version} of the contract, then try again",
        )
    parts = [_of_partition(spark, raw, partition) for partition in arrived] or [_nothing(raw)]
    within = (F.col("arrival_time") >= F.lit(start)) & (F.col("arrival_time") < F.lit(end))
    return reduce(DataFrame.unionByName, parts).where(within).select(*_columns(contract), COUNTED)


def check_counted(arrived: Sequence[ArrivedOffsets], found: int) -> None:
    """Raise StoreError unless as many rows are ``_counted`` as the time index says."""
    stored = sum(partition.stored for partition in arrived)
    if found != stored:
        raise StoreError(
            f"the raw store has {found:,} events where the time index counts {stored:,}",
            "./ws audit finds what is missing; with nodes down, try again when they are back",
        )


def _of_partition(spark: SparkSession, raw: DataFrame, arrived: ArrivedOffsets) -> DataFrame:
    offsets = arrived.offsets
    first, last = offsets.start // BLOCK, (offsets.stop - 1) // BLOCK
    known = {"topic_id": arrived.topic_id, "partition": arrived.partition}
    keys = spark.sql(KEYS, {**known, "first": first, "last": last}).repartition(last - first + 1)
    return keys.join(raw.where(_in(offsets)), KEY).withColumn(COUNTED, _in(arrived.whole))


def _nothing(raw: DataFrame) -> DataFrame:
    return raw.where(F.lit(False)).withColumn(COUNTED, F.lit(False))


def _in(offsets: range) -> Column:
    offset = F.col("kafka_offset")
    return (offset >= F.lit(offsets.start)) & (offset < F.lit(offsets.stop))


def _columns(contract: Contract) -> list[Column]:
    """The raw table's columns; the connector gives every decimal as decimal(38,18)."""
    types = {name: spark_type(field) for name, field in contract.fields.items()}
    return [
        F.col(name).cast(types[name]) if name in types else F.col(name)
        for name in table(contract).columns
        if name != "offset_block"
    ]
