"""### Send quarantined records through Kafka again

Trigger this by hand. The form names an event type, a Kafka partition and the offsets from the first
to the last; what is in quarantine there goes back to its topic, each record once and never twice,
however often this runs. `./ws quarantine list` names them: `transaction/0/1234` is type, partition
and offset.

**As it is**, if the contract of today accepts it: leave *value* empty. **Repaired**: name one
offset, and give the whole event as JSON in *value*. Either way it must be a valid event.

**Why.** A record that is no valid event is kept whole and never stops the stream. After a contract
was changed, or a sender told what was meant, its events still belong into the sums.

**When it fails.** Records that were refused are listed with their reason and stay where they are;
the others went. When a server did not answer, clear the task: it finds out what was sent.
`control.operator_log` has who replayed what, and the reason given.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context, task

from watershed.orchestration.project import default_args, event_types
from watershed.orchestration.replay_quarantine import replay_form

with DAG(
    "replay_quarantine",
    description="Sends quarantined records through Kafka again, once",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=default_args(),
    params={
        "type": Param(
            type="string",
            enum=event_types(),
            title="Event type",
            description="The contract whose records they are.",
        ),
        "partition": Param(
            type="integer", minimum=0, title="Partition", description="Kafka's partition."
        ),
        "first": Param(
            type="integer", minimum=0, title="First offset", description="Of the range, or the one."
        ),
        "last": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            title="Last offset",
            description="Of the range, which includes it; empty: only the first.",
        ),
        "reason": Param(
            type="string",
            minLength=3,
            title="Reason",
            description="Why it is done; noted in control.operator_log.",
        ),
        "value": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="Repaired event",
            description="The whole event as JSON, for one record; empty: as it is.",
        ),
    },
    tags=["quarantine", "by hand"],
) as dag:

    @task(execution_timeout=timedelta(hours=1))
    def replay() -> dict[str, dict[str, str]]:
        return replay_form(get_current_context())

    replay()
