"""``python -m tests.support.programs.renewing``: a session after a write failed in Cassandra.

Prints a line of JSON: why it failed, the driver's names of the connector's sessions after it, of
those that a read then used, once they were renewed, and which of these are closed when the first
ones are.
"""

from __future__ import annotations

import json
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from tests.support.stack import wait_until
from watershed.settings import load_settings
from watershed.spark import cassandra
from watershed.spark.session import batch_session

TABLE = "critical_transaction_bucket"
TOO_LONG_DAYS = 21 * 365
"""Cassandra keeps nothing longer than 20 years, which only the server checks."""


def sessions(spark: SparkSession) -> dict[str, Any]:
    """By the driver's name."""
    found, each = {}, cassandra.sessions(spark).cache().valuesIterator()
    while each.hasNext():
        session = each.next()
        found[session.getName()] = session
    return found


def is_closed(session: Any) -> bool:
    return bool(session.closeFuture().isDone())


def main() -> None:
    settings = load_settings()
    spark = batch_session(settings, "renewing")
    row = spark.sql("SELECT 'x' entity, now() bucket, now() arrival_time, 0 age_s")
    why = ""
    try:
        cassandra.append(row, settings, TABLE, ["entity", "bucket"], TOO_LONG_DAYS)
    except Py4JJavaError as error:
        why = str(error)
    left = sessions(spark)
    cassandra.GRACE_S = 1.0
    cassandra.renew_session(spark)
    table: Any = {"keyspace": settings.cassandra_keyspace, "table": TABLE}
    spark.read.format("org.apache.spark.sql.cassandra").options(**table).load().count()
    wait_until(lambda: all(map(is_closed, left.values())), "they are closed")
    used = sessions(spark)
    found = [why, [*left], [*used], [name for name, one in used.items() if is_closed(one)]]
    spark.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
