"""One day of raw events into a folder of Parquet files, and proof that it has all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from watershed.spark import raw
from watershed.spark.content import aggregates, content_of
from watershed.speed.time_index import ArrivedOffsets
from watershed.stores import lake
from watershed.stores.reference import TableContent

ROWS_PER_FILE = 2_000_000


def write(
    spark: SparkSession, rows: DataFrame, arrived: Sequence[ArrivedOffsets], folder: Path
) -> TableContent:
    """Write the rows, which :func:`raw.read` made of ``arrived``; what the files have then.

    A task takes one Cassandra partition after another, so memory does not grow with the day.
    Raises StoreError when the files have fewer events than the time index counts, or more.
    """
    files = 1 + sum(len(partition.offsets) for partition in arrived) // ROWS_PER_FILE
    # What tools other than Spark read, too; its default is a type of its own.
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    out = rows.drop(raw.COUNTED).coalesce(files)
    out.write.option("compression", "zstd").parquet(lake.uri(folder))
    written = spark.read.parquet(lake.uri(folder))
    counted = F.count_if(_whole(arrived)).alias("counted")
    found = written.agg(*aggregates(written.columns), counted).first()
    count, hashes, whole = found or (0, 0, 0)
    raw.check_counted(arrived, whole)
    return content_of(count, hashes)


def _whole(arrived: Sequence[ArrivedOffsets]) -> Column:
    """The rows of batches that lie wholly in the day."""
    each = [
        (F.col("topic_id") == partition.topic_id)
        & (F.col("kafka_partition") == partition.partition)
        & (F.col("kafka_offset") >= partition.whole.start)
        & (F.col("kafka_offset") < partition.whole.stop)
        for partition in arrived
    ]
    return reduce(or_, each, F.lit(False))
