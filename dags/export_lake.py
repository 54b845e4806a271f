"""### Raw events to the Parquet lake

Once a day this writes the days of arrival time that are complete and not exported yet to the
Parquet lake, each whole and once.

**Why.** Raw rows leave Cassandra when their TTL ends; the lake keeps them.

**When it fails.** The day stays as it was: a half-written one is never seen. Clear the task, or
wait for the next night, which takes what is missing. It warns long before a TTL ends.
"""

from airflow.sdk import DAG, CronTriggerTimetable

from watershed.orchestration.project import default_args
from watershed.orchestration.spark import SparkJob

with DAG(
    "export_lake",
    description="Writes complete days of raw events to the Parquet lake",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("37 0 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=default_args(),
    tags=["lake"],
) as dag:
    SparkJob(task_id="export", job="export_lake.py")
