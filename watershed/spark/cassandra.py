"""Writing a DataFrame to Cassandra as immutable rows that know when they expire."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from watershed.settings import Settings

DAY_S = 86_400


def append(rows: DataFrame, settings: Settings, table: str, columns: list[str], ttl_days: int) -> None:
    """Write ``columns`` of ``rows``, which also have ``kafka_time`` and ``arrival_time``.

    The write time is the arrival time, so that of two stamps of one row the later stands; the TTL
    is what remains of it, so that a repeated write does not live longer. Repeating is harmless.
    """
    stamped = rows.select(
        *columns, _remaining_s(ttl_days).alias("ttl"), F.unix_micros("arrival_time").alias("writetime")
    )
    stamped.write.format("org.apache.spark.sql.cassandra").options(
        keyspace=settings.cassandra_keyspace, table=table, ttl="ttl", writetime="writetime"
    ).mode("append").save()


def _remaining_s(ttl_days: int) -> Column:
    age_s = F.unix_timestamp() - F.unix_timestamp("kafka_time")
    return F.greatest(F.lit(1), F.lit(ttl_days * DAY_S) - age_s).cast("int")
