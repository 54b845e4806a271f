"""### Reference data, as of one moment

Once a day, and at once after the first start, this copies every reference into a new snapshot:
branches and entered rates from PostgreSQL, currencies and position limits from MariaDB, the
European Central Bank's rates from the archive that a package ships: whatever
`schemas/reference/references.yaml` declares. A snapshot is Parquet, checked, then never changed.

**Why.** An enrichment joins one consistent snapshot and the ledger names it, so that it can be
repeated. Enrichments wait at their gate until there is a first one.

**When it fails.** Nothing is lost: enrichments go on with the last snapshot. The log says which
store does not answer, or which row is wrong. Correct it there and clear the task. A warning, as of
a currency whose newest rate is older than 45 days, is no failure: an alert has it.

**After a correction** trigger this DAG, then back-fill the days that it is about.
"""

from airflow.sdk import DAG, CronTriggerTimetable

from watershed.orchestration.project import default_args
from watershed.orchestration.spark import SparkJob

with DAG(
    "refresh_reference",
    description="Takes a snapshot of all reference data",
    doc_md=__doc__,
    # At the very first start it runs at once, or enrichments would wait for it until the night.
    schedule=CronTriggerTimetable("7 1 * * *", timezone="UTC", run_immediately=True),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=default_args(),
    tags=["reference"],
) as dag:
    SparkJob(task_id="refresh", job="refresh_reference.py")
