"""A small Spark for unit tests: the application's own settings, no connector, no server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from watershed.settings import load_settings
from watershed.spark.session import spark_session


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session on two threads, with the settings that the streaming application has."""
    folder = tmp_path_factory.mktemp("spark")
    (folder / "cassandra_password").write_text("nobody asks for it")
    folders = [f"--secrets-dir={folder}", f"--scratch-dir={folder}"]
    settings = load_settings(None, [*folders, "--spark-master=local[2]", "--spark-ui-port=0"])
    session = spark_session(settings, "unit tests")
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
