"""The bare connector: Kafka to an equal table with from_json, and nothing else.

Nothing is checked: of a broken record it writes what the parser makes of it. The session, its
connector settings and the size of a batch are the streaming application's.
``python -m benchmarks.peers.connector_copy``
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from benchmarks.peers.spark_query import run_query
from benchmarks.peers.table import contract, copy_table
from watershed.settings import load_settings
from watershed.spark.session import spark_session
from watershed.spark.types import event_type
from watershed.stores.raw import BLOCK
from watershed.stores.topics import topic_state

UUID_LENGTH = 36


def rows(records: DataFrame, topic_id: str, schema: StructType) -> DataFrame:
    """The raw table's columns, without validation."""
    event = F.from_json(F.col("value").cast("string"), schema)
    return records.select(
        F.lit(topic_id).alias("topic_id"),
        F.col("partition").alias("kafka_partition"),
        F.expr(f"offset div {BLOCK}").alias("offset_block"),
        F.col("offset").alias("kafka_offset"),
        F.col("timestamp").alias("kafka_time"),
        F.col("timestamp").alias("arrival_time"),
        event.alias("event"),
    ).select("*", "event.*").drop("event")  # fmt: skip


def main() -> None:
    settings = load_settings()
    declared = contract(settings)
    table = copy_table(settings, "bench_copy")
    topic = topic_state(settings, declared.topic.name)
    spark = spark_session(settings, "bench_connector_copy")

    def write(frame: DataFrame) -> None:
        copied = rows(frame, topic.topic_id, event_type(declared))
        # Any other text in a uuid's place would end the job.
        usable = copied.where(F.length(declared.event_id) == UUID_LENGTH)
        usable.write.format("org.apache.spark.sql.cassandra").options(
            keyspace=settings.cassandra_keyspace, table=table.name
        ).mode("append").save()

    done = run_query(spark, settings, topic.name, write)
    spark.stop()
    print(done.line())


if __name__ == "__main__":
    main()
