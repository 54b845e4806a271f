"""What the DAGs that only look do: the heartbeat of the stream, the nightly audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowFailException
from psycopg2.extensions import connection as Connection

from watershed.orchestration import messages
from watershed.orchestration.messages import Query
from watershed.orchestration.project import contracts, store
from watershed.speed import contract_versions, heartbeat, progress, time_index
from watershed.speed.heartbeat import Said

SILENT_MOST = timedelta(seconds=60)
"""It beats every second while it streams, every five while it is refused, and takes most of a
minute to start again."""

STILL_MOST = timedelta(minutes=5)
"""A query that fails and is started again for ever beats all the same. One that is idle moves its
watermark every second, one that catches up commits, so neither stands still for so long."""

LINES = 5
"""So much of an output is shown that is no audit's."""


def check_streams() -> dict[str, float]:
    """How long ago each contract's query said that it lives, in seconds.

    Raises AirflowFailException where one is silent, refuses to go on, or commits nothing.
    """
    with store() as (settings, connection):
        said = heartbeat.said(connection)
        queries = [_query(connection, name, said[name]) for name in contracts(settings)]
    now = datetime.now(UTC)
    if faults := messages.standing_still(queries, now, SILENT_MOST, STILL_MOST):
        raise AirflowFailException("\n".join(faults))
    return {
        one.type: round((now - one.heartbeat_at).total_seconds(), 1)
        for one in queries
        if one.heartbeat_at
    }


def _query(connection: Connection, name: str, said: Said) -> Query:
    """What there is to know of a contract's query."""
    moved = (
        time_index.newest_commit(connection, name),
        progress.complete_until(connection, name),
        # Before its first batch it has nothing else.
        contract_versions.first_taken(connection, name),
    )
    known = [time for time in moved if time]
    return Query(name, said.heartbeat_at, said.refusal, max(known, default=None))


def judge_audit(code: int, output: str) -> dict[str, Any]:
    """That every check of ``./ws audit --json`` held. Raises AirflowFailException when one did not,
    RuntimeError, so that it is tried again, when none was made."""
    faults = messages.audit_faults(output) if code in (0, 1) else None
    if faults is None:
        last = "".join(f"\n  {line}" for line in output.splitlines()[-LINES:])
        raise RuntimeError(f"the audit could not be made: exit code {code}; its log is above{last}")
    if faults:
        raise AirflowFailException(
            "the audit does not hold:\n  " + "\n  ".join(faults) + "\n  -> docs/operate.md, Audit"
        )
    return {"ok": True}
