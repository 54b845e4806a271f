"""The classic job: records parsed in Python by ``rdd.map``, their sums appended through JDBC.

Only the two-second sums, with floats and without raw rows: less than the stream does.
``python -m benchmarks.peers.classic_sums``
"""

from __future__ import annotations

import json
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from benchmarks.peers.spark_query import run_query
from benchmarks.peers.table import contract
from watershed.settings import Settings, load_settings
from watershed.spark.session import spark_session

SCHEMA = "kafka_time timestamp, branch string, currency string, amount double"


def parse(record: Row) -> list[tuple[Any, ...]]:
    """One row of ``SCHEMA``, none for what cannot be parsed."""
    try:
        event = json.loads(record.value)
        return [(record.timestamp, event["branch"], event["currency"], float(event["amount"]))]
    except (ValueError, KeyError, TypeError):
        return []


def main() -> None:
    settings = load_settings()
    spark = spark_session(settings, "bench_classic_sums")
    # It warns of every record that it reads outside a thread of its own.
    spark.sparkContext.setLogLevel("ERROR")

    def write(frame: DataFrame) -> None:
        parsed = frame.select("value", "timestamp").rdd.flatMap(parse)
        events = spark.createDataFrame(parsed, SCHEMA)
        sums = events.groupBy(F.window("kafka_time", "2 seconds").start, "branch", "currency").agg(
            F.sum("amount").alias("amount")
        )
        sums.write.jdbc(_url(settings), "bench_sums", mode="append", properties=_login(settings))

    done = run_query(spark, settings, contract(settings).topic.name, write)
    spark.stop()
    print(done.line())


def _url(settings: Settings) -> str:
    where = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_database}"
    return f"jdbc:postgresql://{where}"


def _login(settings: Settings) -> dict[str, str]:
    return {
        "user": settings.postgres_user,
        "password": settings.secret("postgres_password"),
        "driver": "org.postgresql.Driver",
    }


if __name__ == "__main__":
    main()
