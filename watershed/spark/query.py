"""A contract's streaming query: from the committed offsets, with a checkpoint that may be lost."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.spark.batch import events_of
from watershed.spark.sink import Sink
from watershed.speed.progress import Progress


def start(
    spark: SparkSession,
    settings: Settings,
    contract: Contract,
    sink: Sink,
    at: dict[int, Progress],
    checkpoint: str,
) -> StreamingQuery:
    """Start reading on where the commits ended; the sink gets every batch."""
    # Each contract in a pool of its own: a busy topic does not starve a quiet one.
    spark.sparkContext.setLocalProperty("spark.scheduler.pool", contract.type)
    read = records(spark, settings, contract.topic.name, at)
    return (
        events_of(read, contract, at)
        .writeStream.queryName(contract.type)
        .foreachBatch(sink)
        .option("checkpointLocation", checkpoint)
        .trigger(processingTime=f"{settings.stream_trigger_ms} milliseconds")
        .start()
    )


def records(
    spark: SparkSession, settings: Settings, topic: str, at: dict[int, Progress]
) -> DataFrame:
    """The topic's records from the given offsets on, every partition named."""
    offsets = {str(partition): state.next for partition, state in at.items()}
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_brokers)
        .option("subscribe", topic)
        .option("startingOffsets", json.dumps({topic: offsets}))
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", settings.stream_max_events)
        .load()
    )


@contextmanager
def scratch(folder: Path) -> Iterator[str]:
    """A checkpoint folder for one query, gone with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="checkpoint-", dir=folder, ignore_cleanup_errors=True
    ) as path:
        yield path
