"""Servers that have done what storing and publishing left them to do, before something is timed."""

from __future__ import annotations

import stamina

from watershed.errors import WatershedError
from watershed.provision.cassandra import ADMIN as CASSANDRA_ADMIN
from watershed.provision.postgres import ADMIN as POSTGRES_ADMIN
from watershed.settings import Settings
from watershed.stores import cassandra, postgres

WAIT_S = 600
COMPACTIONS = (
    "SELECT active_tasks, pending_tasks FROM system_views.thread_pools"
    " WHERE name = 'CompactionExecutor'"
)


class _CompactingError(WatershedError):
    """Cassandra still merges files."""


def rest(settings: Settings) -> None:
    """Let PostgreSQL vacuum, analyze and write out its pages, and Cassandra merge its files."""
    password = settings.secret("postgres_admin_password")
    with postgres.connect(settings, user=POSTGRES_ADMIN, password=password) as connection:
        connection.autocommit = True
        for statement in ("VACUUM (ANALYZE)", "CHECKPOINT"):
            connection.cursor().execute(statement)
    password = settings.secret("cassandra_admin_password")
    with cassandra.connect_as(settings, CASSANDRA_ADMIN, password) as session:
        for attempt in stamina.retry_context(
            on=_CompactingError, attempts=None, timeout=WAIT_S, wait_max=1.0
        ):
            with attempt:
                if any(session.execute(COMPACTIONS).one()):
                    raise _CompactingError(
                        f"Cassandra still merges files after {WAIT_S} s", "measure with less"
                    )
