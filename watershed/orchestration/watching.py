"""What the DAGs that only look do: the heartbeat of the stream, the nightly audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from watershed.orchestration import messages
from watershed.orchestration.messages import Query
from watershed.orchestration.project import contracts, store
from watershed.stores import liveness

SILENT_MOST = timedelta(seconds=60)
"""It beats every second while it streams, every five while it is refused, and takes most of a
minute to start again."""


def check_streams() -> dict[str, float]:
    """How long ago each contract's query said that it lives, in seconds.

    Raises AirflowFailException where one is silent or refuses to go on.
    """
    with store() as (settings, connection):
        said = liveness.said(connection)
        queries = [
            Query(name, said[name].heartbeat_at, said[name].refusal) for name in contracts(settings)
        ]
    now = datetime.now(UTC)
    if faults := messages.standing_still(queries, now, SILENT_MOST):
        raise AirflowFailException("\n".join(faults))
    return {
        one.type: round((now - one.heartbeat_at).total_seconds(), 1)
        for one in queries
        if one.heartbeat_at
    }


def judge_audit(code: int, output: str) -> dict[str, Any]:
    """How many checks of ``./ws audit --json`` held. Raises when one did not, or none was made."""
    if code not in (0, 1):
        raise RuntimeError(f"the audit could not be made: exit code {code}; its log is above")
    if faults := messages.audit_faults(output):
        raise AirflowFailException(
            "the audit does not hold:\n  " + "\n  ".join(faults) + "\n  -> docs/operate.md, Audit"
        )
    return {"ok": True}
