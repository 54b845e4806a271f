"""``python -m tests.support.programs.arrived TYPE START END``: what Spark reads of an interval.

Prints a line of JSON: the rows, the plan, and what the check of their number says, if anything.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime

from pyspark.sql import functions as F

from tests.support.postgres import read
from watershed.contracts.load import load_contracts
from watershed.errors import StoreError
from watershed.settings import load_settings
from watershed.spark import raw
from watershed.spark.session import batch_session
from watershed.speed import time_index
from watershed.stores import postgres


def main(event_type: str, *times: str) -> None:
    settings = load_settings()
    contract = load_contracts(settings.schemas_dir)[event_type]
    start, end = map(datetime.fromisoformat, times)
    spark = batch_session(settings, "arrived")
    with postgres.connect(settings) as connection:
        offsets = read(connection, time_index.arrived, event_type, start, end)
    marked = raw.read(spark, settings, contract, offsets, start, end)
    rows = marked.drop(raw.COUNTED)
    said = ""
    try:
        raw.check_counted(offsets, marked.where(raw.COUNTED).count())
    except StoreError as error:
        said = str(error)
    found = {
        "columns": rows.columns,
        "rows": [json.loads(row[0]) for row in rows.select(F.to_json(F.struct("*"))).collect()],
        "plan": rows._jdf.queryExecution().executedPlan().toString(),
        "said": said,
    }
    spark.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
