"""How the Spark peers read the topic: as the streaming application does, until its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from benchmarks.results import Run
from watershed.settings import Settings


def run_query(
    spark: SparkSession, settings: Settings, topic: str, write: Callable[[DataFrame], None]
) -> Run:
    """Give every batch of the topic to ``write``; how long that took."""
    spark.conf.set("spark.sql.streaming.numRecentProgressUpdates", "1000")
    read = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_brokers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", settings.stream_max_events)
        .load()
    )
    with TemporaryDirectory(dir=settings.scratch_dir) as checkpoint:
        query = (
            read.writeStream.foreachBatch(lambda frame, _number: write(frame))
            .option("checkpointLocation", checkpoint)
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        return measured(query.recentProgress)


def measured(progress: list[dict[str, Any]]) -> Run:
    """From the start of the first batch to the end of the last, by Spark's own reports."""
    full = [one for one in progress if one["numInputRows"]]
    return Run.of(_start(full[0]), [(one["numInputRows"], _end(one)) for one in full])


def _start(one: dict[str, Any]) -> float:
    return datetime.fromisoformat(one["timestamp"]).timestamp()


def _end(one: dict[str, Any]) -> float:
    return _start(one) + float(one["durationMs"]["triggerExecution"]) / 1000
