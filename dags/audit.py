"""### Is anything lost, doubled or wrong?

Every night `./ws audit` reads what arrived in the last 26 hours in every store and compares: the
offsets are whole, Kafka has the topic that was committed, each two-second sum is the sum of its
raw rows, the cache holds what the stores justify.

**Why.** It proves the guarantees on the data itself, and finds what no error told of.

**When it fails.** The log and `control.alert` list each check that does not hold with its first
faults. Run `./ws audit` by hand, without `--since` for everything; what each check means and which
command repairs it is in `docs/operate.md`. Exit code 2 means that a server did not answer: clear
the task.

**By hand.** Trigger it with another `since`: `2h`, `30d`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param

from watershed.orchestration.audit import judge_audit
from watershed.orchestration.commands import Command
from watershed.orchestration.project import default_args

with DAG(
    "audit",
    description="Proves every store against the others, each night",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("17 2 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=default_args(),
    params={
        "since": Param(
            "26h",
            type="string",
            pattern="^[0-9]{1,6}[smhd]$",
            title="Since",
            description="Only what arrived so long ago or later: 2h, 30d.",
        )
    },
    tags=["watch"],
) as dag:
    Command(
        task_id="audit",
        arguments=["audit", "--json", "--since", "{{ params.since }}"],
        judge=judge_audit,
        execution_timeout=timedelta(hours=6),
    )
