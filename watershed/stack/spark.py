"""What a program of the local stack needs to run Spark."""

from __future__ import annotations

from watershed.stack import spark_archive
from watershed.stack.home import ROOT
from watershed.stack.jars import class_path


def spark_environment() -> dict[str, str]:
    """Variables for whoever starts Spark; makes what is missing of it in the cache."""
    return {
        "WATERSHED_SPARK_JARS": class_path("spark"),
        "WATERSHED_SPARK_JAVA_OPTIONS": spark_archive.options(),
        # Not by SPARK_CONF_DIR: a folder in the class path keeps the JVM from using an archive.
        "LOG4J_CONFIGURATION_FILE": str(ROOT / "infra" / "local" / "spark-log4j2.properties"),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
