"""A little of all that Spark does here, without a server: its JVM archives the classes it needed.

``python -m watershed.spark.class_archive``; ``spark_java_options`` says where to. What it does is
what the jobs do, as far as they get without Kafka, Cassandra and PostgreSQL: a refused connection
has loaded its client.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from watershed.batch.intervals import Interval
from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.settings import Settings, load_settings
from watershed.spark import batch, enrich
from watershed.spark.session import batch_session
from watershed.spark.totals import summed
from watershed.spark.types import spark_type
from watershed.speed.progress import Progress

EXIT_S = 120
EVENTS = 2_000
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
AT = {0: Progress(0, 0, START, 0, 0)}


def main() -> int:
    """The exit code of the JVM, which writes its archive when it ends."""
    settings = load_settings()
    [contract, *_] = load_contracts(settings.schemas_dir, settings.topics).values()
    spark = batch_session(settings, "class_archive")
    process = spark.sparkContext._gateway.proc  # type: ignore[union-attr]  # a session has one
    _stream(spark, settings, contract)
    _enrich(spark, settings, contract)
    for refused in _clients(spark, settings):
        try:
            refused().count()
        except Py4JJavaError:
            continue  # nothing listens there; without the jars Kafka's is another error
    spark.stop()
    process.stdin.close()
    return int(process.wait(EXIT_S))


def _stream(spark: SparkSession, settings: Settings, contract: Contract) -> None:
    """Batches of made-up records, through all that happens to them in the JVM."""
    source = settings.scratch_dir / "records"
    source.mkdir()
    example = next((settings.schemas_dir / contract.type / "examples").glob("*.json")).read_text()
    value = json.dumps(json.loads(example))
    lines = (f"{offset}\t{value if offset % 2 else 'broken'}" for offset in range(EVENTS))
    (source / "1.txt").write_text("\n".join(lines))
    records = spark.readStream.format("text").load(str(source)).select(
        F.lit(b"key").alias("key"),
        F.split_part("value", F.lit("\t"), F.lit(2)).cast("binary").alias("value"),
        F.lit(0).alias("partition"),
        F.split_part("value", F.lit("\t"), F.lit(1)).cast("bigint").alias("offset"),
        F.lit(START).alias("timestamp"),
    )  # fmt: skip

    def write(frame: DataFrame, _batch_id: int) -> None:
        frame.persist()
        events = batch.stamped(frame, "topic_id", AT, datetime.now(UTC))
        summed(events, contract).collect()
        batch.valid(events).write.format("noop").mode("append").save()
        batch.critical_rows(events, contract).collect()
        frame.unpersist()

    query = (
        batch.events_of(records, contract, AT)
        .writeStream.foreachBatch(write)
        .option("checkpointLocation", str(settings.scratch_dir / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()


def _enrich(spark: SparkSession, settings: Settings, contract: Contract) -> None:
    """First arrivals, a join with a Parquet table, and rows written as text."""
    folder = settings.scratch_dir / "parquet"
    entities = spark.range(10).selectExpr("concat('entity ', id) AS entity", "id AS number")
    entities.write.parquet(str(folder))
    measure = contract.measure[1]
    rows = spark.range(EVENTS).select(
        *(F.lit(None).cast("string").alias(name) for name in contract.fields
          if name not in (measure, contract.event_id)),
        F.concat(F.lit("event "), F.col("id")).alias(contract.event_id),
        F.col("id").cast(spark_type(contract.fields[measure])).alias(measure),
        F.lit("topic_id").alias("topic_id"),
        F.lit(0).alias("kafka_partition"),
        F.col("id").alias("kafka_offset"),
        F.timestamp_seconds(F.lit(START.timestamp()) + F.col("id") % 60).alias("arrival_time"),
        F.concat(F.lit("entity "), F.col("id") % 12).alias("of_entity"),
    )  # fmt: skip
    events = enrich.events(rows, contract, [Interval(START, START + timedelta(hours=1))]).persist()
    enrich.measured(events, contract)
    known = spark.read.parquet(str(folder))
    joined = events.join(known, F.col("of_entity") == known.entity, "left")
    texts = joined.select(F.concat_ws("\t", *(F.col(c).cast("string") for c in events.columns)))
    texts.write.text(str(settings.scratch_dir / "text"))


def _clients(spark: SparkSession, settings: Settings) -> list[Callable[[], DataFrame]]:
    """What asks a server that does not answer."""
    kafka = spark.read.format("kafka").options(
        **{
            "kafka.bootstrap.servers": settings.kafka_brokers,
            "kafka.default.api.timeout.ms": "1500",
            "kafka.request.timeout.ms": "1000",
            "subscribe": "none",
        }
    )
    cassandra = spark.read.format("org.apache.spark.sql.cassandra").options(
        keyspace=settings.cassandra_keyspace, table="none"
    )
    postgres = spark.read.format("jdbc").options(
        url="jdbc:postgresql://127.0.0.1:1/none", driver="org.postgresql.Driver", dbtable="none"
    )
    return [kafka.load, cassandra.load, postgres.load]


if __name__ == "__main__":
    raise SystemExit(main())
