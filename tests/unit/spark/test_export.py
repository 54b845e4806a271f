"""A day's rows in Parquet files, and the count that proves them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.support.batches import Place, event, rows
from watershed.errors import StoreError
from watershed.spark import export, raw
from watershed.spark.content import content
from watershed.speed.time_index import ArrivedOffsets

EVENTS = [event(name, Place(name, partition=name % 2, second=name)) for name in range(8)]


def arrived(stored: int = 2) -> list[ArrivedOffsets]:
    """Offsets 2 and 4 of partition 0, 4 in no whole batch, and all of partition 1."""
    return [
        ArrivedOffsets("one", 0, range(2, 6), range(2, 4), stored - 1),
        ArrivedOffsets("one", 1, range(1, 2), range(1, 2), 1),
    ]


@pytest.fixture
def day(spark: SparkSession) -> DataFrame:
    """What was read: the mark is not looked at again."""
    read = rows(spark, *(EVENTS[number] for number in (1, 2, 4)))
    return read.withColumn(raw.COUNTED, F.lit(None).cast("boolean"))


def test_a_day_is_written_whole(spark: SparkSession, day: DataFrame, tmp_path: Path) -> None:
    written = export.write(spark, day, arrived(), tmp_path / "day")
    back = spark.read.parquet(str(tmp_path / "day"))
    assert written == content(back) == content(day.drop(raw.COUNTED))
    assert back.columns == day.columns[:-1]
    assert [row.kafka_offset for row in back.sort("kafka_offset").collect()] == [1, 2, 4]
    assert back.where(F.col("arrival_time") >= datetime(2026, 11, 20, tzinfo=UTC)).count() == 3


def test_a_row_that_is_missing_is_said(spark: SparkSession, day: DataFrame, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has 2 events where the time index counts 3"):
        export.write(spark, day, arrived(stored=3), tmp_path / "day")


def test_a_day_without_events_has_columns(
    spark: SparkSession, day: DataFrame, tmp_path: Path
) -> None:
    assert export.write(spark, day.where("false"), [], tmp_path / "day") == (0, "0" * 16)
    assert spark.read.parquet(str(tmp_path / "day")).columns == day.columns[:-1]
