"""Spark sessions, with the settings that this project needs and why."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from pyspark.sql import SparkSession

from watershed.jvm import driver_options
from watershed.settings import Settings

BATCH_MASTER = "local[2]"
BATCH = {
    # What overflows, or is divided by zero, is an error: money never becomes null in silence.
    "spark.sql.ansi.enabled": "true",
    # Both compare plans in canonical form, which the connector's direct join has none of: it
    # raises "Couldn't find none#0".
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.exchange.reuse": "false",
    # The page's port is the stream's, which runs beside it.
    "spark.ui.enabled": "false",
}
"""What a batch job has otherwise than the stream."""


def batch_session(settings: Settings, name: str) -> SparkSession:
    """A session for a job that ends, beside a stream; two tasks unless ``spark_master`` is set."""
    if "spark_master" not in settings.model_fields_set:
        settings = settings.model_copy(update={"spark_master": BATCH_MASTER})
    return spark_session(settings, name, BATCH)


def spark_session(
    settings: Settings, name: str, conf: Mapping[str, str] | None = None
) -> SparkSession:
    """A session for one job; ``conf`` stands before what all have.

    Under ``spark-submit`` the JVM's own memory and class path are the submitter's to give.
    """
    os.environ["TZ"] = "UTC"  # pyspark gives times as the process's local ones, without a zone
    time.tzset()
    builder = SparkSession.builder.appName(name).master(settings.spark_master)
    for key, value in {**_conf(settings), **(conf or {})}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    # Given at run time, passwords are in no argument list and on no page of Spark's.
    spark.conf.set("spark.cassandra.auth.username", settings.cassandra_user)
    spark.conf.set("spark.cassandra.auth.password", settings.secret("cassandra_password"))
    spark.sparkContext.setLogLevel("WARN")
    return spark


def _conf(settings: Settings) -> dict[str, str]:
    conf = {
        "spark.driver.memory": f"{settings.spark_driver_memory_mb}m",
        "spark.driver.extraJavaOptions": driver_options(settings),
        "spark.sql.session.timeZone": "UTC",
        # Tiny batches: more partitions than cores would cost more than they give.
        "spark.sql.shuffle.partitions": "2",
        "spark.default.parallelism": "2",
        "spark.scheduler.mode": "FAIR",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": str(settings.spark_ui_port > 0).lower(),
        "spark.ui.port": str(settings.spark_ui_port),
        "spark.ui.showConsoleProgress": "false",
        # The page keeps this many of each; the default of 1000 costs a long job its heap.
        "spark.ui.retainedJobs": "100",
        "spark.ui.retainedStages": "100",
        "spark.sql.ui.retainedExecutions": "50",
        "spark.sql.streaming.numRecentProgressUpdates": "10",
        "spark.local.dir": str(settings.scratch_dir),
        "spark.sql.warehouse.dir": str(settings.scratch_dir / "warehouse"),
        "spark.sql.extensions": "com.datastax.spark.connector.CassandraSparkExtensions",
        "spark.cassandra.connection.host": settings.cassandra_host,
        "spark.cassandra.connection.port": str(settings.cassandra_port),
        "spark.cassandra.connection.localDC": settings.cassandra_datacenter,
        "spark.cassandra.input.consistency.level": "LOCAL_QUORUM",
        "spark.cassandra.output.consistency.level": "LOCAL_QUORUM",
        # Unset columns, not tombstones.
        "spark.cassandra.output.ignoreNulls": "true",
        # Full single-partition batches: a task's rows share few partitions.
        "spark.cassandra.output.batch.grouping.key": "partition",
        "spark.cassandra.output.batch.size.bytes": "32768",
        "spark.cassandra.output.concurrent.writes": "8",
        # The pool outlives the pause between two batches.
        "spark.cassandra.connection.keepAliveMS": "60000",
    }
    if settings.spark_jars:
        conf["spark.driver.extraClassPath"] = settings.spark_jars
    return conf
