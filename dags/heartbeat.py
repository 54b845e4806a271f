"""### Does the stream live?

Every five minutes this looks at what each contract's streaming query last said of itself, and
fails when it was silent for a minute, refuses to go on, or has committed nothing for five minutes
though there is something to commit: a query that fails and is started again for ever.

**Why.** The stream is a service, not a task: nothing else in Airflow would notice that it stands
still. Enrichments then wait at their gate, and time out later.

**When it fails.** The task's log and `control.alert` name the contract, the cause and the command
that repairs it. `./ws status` shows the same, or how far it is behind, `./ws logs stream` more. A
supervisor starts a dead stream again by itself: one failed run that is followed by a good one needs
nobody. A *refusal* stays until a person decides: see *When the stream refuses* in
`docs/operate.md`.
"""

from airflow.sdk import DAG, CronTriggerTimetable, task

from watershed.orchestration.heartbeat import check_streams
from watershed.orchestration.project import default_args

with DAG(
    "heartbeat",
    description="Fails when a contract's stream stands still",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=default_args() | {"retries": 0},
    tags=["stream", "watch"],
) as dag:
    task(check_streams)()
