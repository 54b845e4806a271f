"""Writing a DataFrame to Cassandra as immutable rows that know when they expire."""

from __future__ import annotations

import logging
import threading
from typing import Any

from py4j.protocol import Py4JNetworkError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from watershed.settings import Settings

DAY_S = 86_400
GRACE_S = 60.0

log = logging.getLogger("watershed.stream")


def append(
    rows: DataFrame, settings: Settings, table: str, columns: list[str], ttl_days: int
) -> None:
    """Write ``columns`` of ``rows``, which also have ``arrival_time`` and ``age_s``.

    The write time is the arrival time, so that of two stamps of one row the later stands; the TTL
    is what remains of it, so that a repeated write does not live longer. Repeating is harmless.
    """
    remaining = F.greatest(F.lit(1), F.lit(ttl_days * DAY_S) - F.col("age_s")).cast("int")
    stamped = rows.select(
        *columns, remaining.alias("ttl"), F.unix_micros("arrival_time").alias("writetime")
    )
    stamped.write.format("org.apache.spark.sql.cassandra").options(
        keyspace=settings.cassandra_keyspace, table=table, ttl="ttl", writetime="writetime"
    ).mode("append").save()


def renew_session(spark: SparkSession) -> None:
    """Let the next write open a new session; for after a write that failed.

    Each write begins with a refresh of the schema. One that found no control connection, as when
    the node has just died, leaves the connector's session (driver 4.18.1) such that every later
    refresh waits for it, until it is closed. The connector closes a session that nobody uses; but
    a task whose write failed does not give its own back (connector 3.5.1), and would be thought to
    use it for ever. So what is left is forgotten, and closed once another contract's batch that
    goes through it has had time to end.
    """
    used = sessions(spark)
    used.evict()
    left = used.cache().valuesIterator()
    while left.hasNext():
        closing = threading.Timer(GRACE_S, _close, [left.next()])
        closing.daemon = True
        closing.start()
    used.cache().clear()


def _close(session: Any) -> None:
    try:
        session.forceCloseAsync()
    except Py4JNetworkError as error:
        log.info("not closed, as Spark's JVM ended: %s", error)


def sessions(spark: SparkSession) -> Any:
    """The connector's sessions, each with the number of those who use it."""
    jvm: Any = spark._jvm
    connector = getattr(jvm.com.datastax.spark.connector.cql, "CassandraConnector$")
    return getattr(connector, "MODULE$").sessionCache()
