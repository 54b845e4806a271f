"""What the DAG ``heartbeat`` asks: does each contract's stream live, and get on?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk.exceptions import AirflowFailException
from psycopg2.extensions import cursor as Cursor

from watershed.orchestration import messages
from watershed.orchestration.messages import StreamState
from watershed.orchestration.project import contracts, store
from watershed.speed import contract_versions, heartbeat, progress, time_index
from watershed.speed.heartbeat import Heartbeat
from watershed.stores.postgres import transaction

SILENT_MOST = timedelta(seconds=60)
"""It beats every second while it streams, every five while it is refused, and takes most of a
minute to start again."""

STILL_MOST = timedelta(minutes=5)
"""A query that fails and is started again for ever beats all the same. One that is idle moves its
watermark every second, one that catches up commits, so neither stands still for so long."""


def check_streams() -> dict[str, float]:
    """How long ago each contract's query said that it lives, in seconds.

    Raises AirflowFailException where one is silent, refuses to go on, or commits nothing.
    """
    with store() as (settings, connection), transaction(connection) as cursor:
        heartbeats = heartbeat.read_all(cursor)
        streams = [_stream(cursor, name, heartbeats[name]) for name in contracts(settings)]
    now = datetime.now(UTC)
    if faults := messages.standing_still(streams, now, SILENT_MOST, STILL_MOST):
        raise AirflowFailException("\n".join(faults))
    return {
        stream.type: round((now - stream.heartbeat_at).total_seconds(), 1)
        for stream in streams
        if stream.heartbeat_at
    }


def _stream(cursor: Cursor, event_type: str, last: Heartbeat) -> StreamState:
    """What there is to know of a contract's query."""
    moved = (
        time_index.newest_commit(cursor, event_type),
        progress.complete_until(cursor, event_type),
        # Before its first batch it has nothing else.
        contract_versions.first_adopted(cursor, event_type),
    )
    known = [time for time in moved if time]
    return StreamState(event_type, last.at, last.refusal, max(known, default=None))
