"""### {type}: intervals of arrival time become final facts

Each run finalizes every interval of `{type}` that the raw store has whole and nobody has made final
yet, up to `WATERSHED_BATCH_MAX_EVENTS` events: after an outage the next few runs catch up. One task
follows the other; the numbers of each are below its tab *Storage*, in *XCom*:

1. `gate` waits, without a worker, until the stream's watermark has passed the interval, and until
   there is a snapshot of the reference data.
2. `begin` chooses the range and the snapshot, and begins an attempt, which names all its inputs.
   *Attempt, range, intervals, snapshot.*
3. `load` is Spark: it reads the raw events by key, runs `schemas/{type}/enrich.sql` and fills the
   table `staging.{type}_ATTEMPT`. *Seconds.*
4. `check` looks at what was staged. *Events, repeated ones, references without a row, each check.*
5. `publish` is one PostgreSQL transaction per interval: facts, sums, ledger. *Rows, duplicates,
   conflicts.*
6. `reconcile` compares with the speed layer: batch + removed duplicates - flow must be 0.
   *Compared, duplicates, unexplained.*

When `reconcile` succeeds, the asset `report.{type}` is updated.

**Why.** The stream answers at once and counts a repeated event as often as it comes. What is
final has each event once, with place, names and amounts of one set of reference data.

**By hand.** *Trigger* with a *partition key*, an interval's start such as `2026-01-31T12:00`, or
with a *start* and an *end* in the form: those intervals are published again. With neither,
everything that is not final yet is published. A *backfill* does each interval of a range in a run
of its own; the form's range does them all in one Spark run, and is refused where that would be too
large.

**With which inputs.** What is published again takes today's query, and the snapshot of the
reference data that it was published with; with *Reference data* set to `newest`, the newest one:
choose that to apply a correction to the past. What is not final yet takes the newest in any case.

**Repeating is safe.** Clear `begin` for a new attempt, `load` to load the same one again, `publish`
to publish it again. Of two attempts that overlap PostgreSQL lets only the newer one publish, and
publishing again with the same inputs changes nothing.

**When a task fails**

* `gate` timed out: the stream stands still or is far behind. `./ws status`; later runs catch up.
* `begin`: the range cannot be made final as asked; the message says which one can.
* `load`: the message has cause and remedy. It is tried again by itself; no two load at once.
* `check`: nothing was published. The message names the checks, what they found, and the remedy:
  for most the reference data or the query; for `flow` and `rows`, where a layer lacks events, what
  `./ws audit` says.
* `publish`: a newer attempt took over (nothing to do), or an earlier interval is not final yet.
* `reconcile`: what is published differs from the speed layer, and `control.alert` has by how much.
  `./ws audit` says which of the two is wrong. Once it is mended clear `begin`.

A range that can never be made final is passed with `./ws skip-interval {type} START`.
"""

from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    CronPartitionTimetable,
    Param,
    get_current_context,
    task,
)

from watershed.orchestration import enrich
from watershed.orchestration.enrich import AS_PUBLISHED, NEWEST
from watershed.orchestration.gate import Gate
from watershed.orchestration.project import default_args, reported
from watershed.orchestration.schedule import KEY_FORMAT, cron
from watershed.orchestration.spark import SparkJob

TIME = {"type": ["null", "string"], "format": "date-time"}


def enrich_dag(event_type: str, interval_s: int, gate_timeout_s: int) -> DAG:
    """The DAG that finalizes one contract's intervals."""
    with DAG(
        f"enrich_{event_type}",
        description=f"Finalizes the intervals of {event_type}: enriched, checked, published",
        doc_md=__doc__.replace("{type}", event_type),
        schedule=CronPartitionTimetable(
            cron(interval_s), run_offset=-1, key_format=KEY_FORMAT, timezone="UTC"
        ),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args=default_args(event_type),
        params={
            "start": Param(
                None,
                title="Start of a range",
                description="Arrival time in UTC; empty: the partition key's interval, else"
                " everything that is not final yet. Alone, the interval that it lies in.",
                **TIME,
            ),
            "end": Param(
                None,
                title="End of the range",
                description="Widened to the end of an interval.",
                **TIME,
            ),
            "reference": Param(
                AS_PUBLISHED,
                type="string",
                enum=[AS_PUBLISHED, NEWEST],
                title="Reference data",
                description="What is published again takes the snapshot that it was published"
                " with, or the newest one, which has all corrections.",
            ),
        },
        tags=["enrich", event_type],
    ) as dag:
        gate = Gate(
            task_id="gate",
            event_type=event_type,
            interval_s=interval_s,
            timeout_s=gate_timeout_s,
            retries=0,
        )

        @task
        def begin() -> dict[str, Any]:
            return enrich.begin(event_type, get_current_context())

        load = SparkJob(
            task_id="load",
            job="enrich_intervals.py",
            arguments=["--attempt", "{{ ti.xcom_pull(task_ids='begin')['attempt'] }}"],
        )

        @task
        def check(attempt: int) -> dict[str, Any]:
            return enrich.check(attempt)

        @task
        def publish(attempt: int) -> dict[str, Any]:
            return enrich.publish(attempt)

        report = Asset(f"report.{event_type}")

        @task(outlets=[report])
        def reconcile(attempt: int) -> dict[str, Any]:
            return enrich.reconcile(attempt, get_current_context()["outlet_events"][report])

        begun = begin()
        number = begun["attempt"]
        gate >> begun >> load >> check(number) >> publish(number) >> reconcile(number)
    return dag


settings, contracts = reported()
for contract in contracts:
    enrich_dag(contract.type, settings.batch_interval_s, settings.gate_timeout_s)
