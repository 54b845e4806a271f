"""### What is old enough goes

Every six hours this prunes:

* facts older than the raw events (the contract's `retention.ttl_days`), by whole months: their sums
  go into the opening balance first, so that `report.open_position` stays the same;
* staging tables of what was not published within two days;
* alerts after 90 days;
* snapshots of reference data that no attempt names, but for the newest.

**Why.** Everything else is bounded by Kafka's retention and Cassandra's TTL; this bounds PostgreSQL
and the lake.

**When it fails.** Nothing is half gone: each part is a transaction. A long query of the facts may
hold it up (*lock timeout* in the log): it is tried again by itself.
"""

from airflow.sdk import DAG, CronTriggerTimetable, task

from watershed.orchestration.project import default_args
from watershed.orchestration.retention import prune

with DAG(
    "retention",
    description="Prunes old facts, staging tables, alerts and snapshots",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("23 */6 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=default_args(),
    tags=["retention"],
) as dag:
    task(prune)()
