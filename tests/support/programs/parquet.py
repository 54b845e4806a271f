"""``python -m tests.support.programs.parquet FOLDER``: a line of JSON for each Parquet row.

In a process of its own: a JVM keeps its class path.
"""

from __future__ import annotations

import sys

from pyspark.sql import functions as F

from watershed.settings import load_settings
from watershed.spark.session import batch_session


def main(folder: str) -> None:
    spark = batch_session(load_settings(), "parquet")
    rows = spark.read.parquet(folder)
    for (line,) in rows.select(F.to_json(F.struct("*"))).collect():
        print(line)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
