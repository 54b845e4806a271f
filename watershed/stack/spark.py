"""What a program of the local stack needs to run Spark."""

from __future__ import annotations

from watershed.stack.home import ROOT
from watershed.stack.jars import class_path


def spark_environment() -> dict[str, str]:
    """Variables for whoever starts Spark; fetches its connectors if they are missing."""
    return {
        "WATERSHED_SPARK_JARS": class_path("spark"),
        "SPARK_CONF_DIR": str(ROOT / "infra" / "local" / "spark"),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
