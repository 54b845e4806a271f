"""Airflow's own database: made, migrated when its packages or its pools have changed, cleaned."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.errors import StackError
from watershed.provision.postgres import ADMIN, ensure_owned, ensure_role
from watershed.stack.airflow_environment import LOCK, airflow_environment
from watershed.stack.home import ROOT, Home
from watershed.stack.logs import RUNS_KEPT_S
from watershed.stack.processes import spawn
from watershed.stack.service import Service
from watershed.stores import postgres

NAME = "airflow"
"""Of the database, and of the role that owns it."""

KEPT = timedelta(seconds=RUNS_KEPT_S)
"""A run is forgotten when its log is."""

CLEANED = (
    "asset_event", "callback", "dag_run", "dag_version", "deadline", "import_error", "job", "log",
    "partitioned_asset_key_log", "task_instance", "task_instance_history", "task_reschedule",
    "trigger", "xcom",
)  # fmt: skip
"""All that grows. Not ``dag``: of an old one that has runs Airflow 3.3 stops with an error
(apache/airflow #71864)."""

POOLS = ROOT / "watershed" / "orchestration" / "pools.py"


def migrate(home: Home, like: Service) -> None:
    """Bring the database to what Airflow expects, and make the pools that tasks wait in.

    That takes half a minute, so what it was done for is noted at the database; no start that finds
    the same does it again. Runs and logs as the service ``like``. Raises StackError.
    """
    settings = home.settings()
    password = settings.secret("postgres_admin_password")
    with postgres.connect(settings, dbname="postgres", user=ADMIN, password=password) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        ensure_role(cursor, NAME, settings.secret("airflow_database_password"))
        ensure_owned(cursor, NAME, NAME)
        if _noted(cursor) != (wanted := _wanted()):
            _run(home, like, "airflow", "db", "migrate")
            _run(home, like, "python", "-m", "watershed.orchestration.pools")
            _note(cursor, wanted)


def clean(now: datetime) -> tuple[str, ...]:
    """The arguments of ``airflow db`` that delete what is older than KEPT.

    The last scheduled run of each DAG stays: the schedule goes on from it.
    """
    return (
        "clean", "--yes", "--skip-archive", "--error-on-cleanup-failure",
        "--tables", ",".join(CLEANED), "--clean-before-timestamp", (now - KEPT).isoformat(),
    )  # fmt: skip


def _wanted() -> str:
    return hashlib.sha256(LOCK.read_bytes() + POOLS.read_bytes()).hexdigest()[:12]


def _noted(cursor: Cursor) -> str | None:
    cursor.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [NAME]
    )
    [noted] = cursor.fetchone() or [None]
    return noted


def _note(cursor: Cursor, wanted: str) -> None:
    comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
    cursor.execute(comment.format(sql.Identifier(NAME), sql.Literal(wanted)))


def _run(home: Home, like: Service, program: str, *arguments: str) -> None:
    command = (str(airflow_environment() / "bin" / program), *arguments)
    if spawn(replace(like, command=command), home).wait():
        raise StackError(f"{' '.join([program, *arguments])} failed", f"see {home.log(like.name)}")
