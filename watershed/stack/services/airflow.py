"""Airflow: four processes in an environment of their own, with their metadata in PostgreSQL."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

from watershed.errors import StackError
from watershed.stack.airflow_database import NAME, clean, migrate
from watershed.stack.airflow_environment import airflow_environment
from watershed.stack.home import ROOT, Home, write_private
from watershed.stack.packages import package_folder
from watershed.stack.service import Service, render
from watershed.stack.spark import spark_environment

API, SCHEDULER = "airflow-api", "airflow-scheduler"
DAG_PROCESSOR, TRIGGERER = "airflow-dag-processor", "airflow-triggerer"
USER, PASSWORD = "admin", "airflow_password"  # who signs in to its pages, and the secret's name
HEALTH = "/api/v2/monitor/health"
NICE = ("nice", "-n", "10")  # whatever it starts yields to the servers and the stream
HTTP_TIMEOUT_S = 5


def airflow(home: Home) -> list[Service]:
    """Its API and pages, which migrate the database first; scheduler, DAG processor, triggerer.

    It starts once the stream runs: both need a whole core for half a minute.
    """
    env = _environment(home)
    api = Service(
        API,
        _command("api-server"),
        ready=lambda: _health(home)["metadatabase"]["status"] == "healthy",
        needs=("mariadb", "postgres", "stream"),
        upkeep=lambda: _command("db", *clean(datetime.now(UTC))),
        env=env,
        poll_s=1,
    )
    migrated = threading.Event()

    def prepare() -> None:
        _configure(home)
        if not migrated.is_set():  # later starts must not need PostgreSQL to answer
            migrate(home, api)
            migrated.set()

    return [
        replace(api, prepare=prepare),
        _beating(home, SCHEDULER, ("scheduler", "--skip-serve-logs"), env),
        _beating(home, DAG_PROCESSOR, ("dag-processor",), env),
        _beating(home, TRIGGERER, ("triggerer", "--skip-serve-logs"), env),
    ]


def _beating(home: Home, name: str, arguments: tuple[str, ...], env: dict[str, str]) -> Service:
    """A process that is ready once its heartbeat is newer than its start."""
    part = name.removeprefix("airflow-").replace("-", "_")
    started = [time.time()]

    def prepare() -> None:
        started[:] = [time.time()]

    def ready() -> bool:
        beat = _health(home)[part].get(f"latest_{part}_heartbeat")
        return beat is not None and datetime.fromisoformat(beat).timestamp() > started[0]

    return Service(
        name,
        _command(*arguments),
        ready,
        needs=(API,),
        prepare=prepare,
        env=env,
        # A scheduler that is asked to end waits for its tasks, which may take an hour.
        stop_timeout_s=5,
        poll_s=1,
    )


def _command(*arguments: str) -> tuple[str, ...]:
    return (*NICE, str(airflow_environment() / "bin" / "airflow"), *arguments)


def _environment(home: Home) -> dict[str, str]:
    """What its processes see, and the Spark jobs and commands that its tasks start."""
    spark = package_folder("pyspark")
    path = [spark / "bin", airflow_environment() / "bin", os.defpath]
    return spark_environment() | {
        "AIRFLOW_HOME": str(home.folder("run", "airflow")),
        "AIRFLOW_CONN_SPARK": json.dumps({"conn_type": "spark", "host": "local[2]"}),
        "PATH": os.pathsep.join(map(str, path)),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_HOME": str(spark),
        # Or its processes, which rename themselves, overwrite the mark in their environment.
        "SPT_NOENV": "1",
        "WATERSHED_HOME": str(home.path),
        "WATERSHED_PYTHON": sys.executable,
    }


def _configure(home: Home) -> None:
    folder = home.folder("run", "airflow")
    passwords, database = folder / "passwords.json", folder / "database"
    write_private(passwords, json.dumps({USER: home.secret(PASSWORD)}))
    password = home.secret("airflow_database_password")  # no character of it needs quoting
    where = f"{NAME}:{password}@127.0.0.1:{home.ports.postgres}/{NAME}"
    write_private(database, f"postgresql+psycopg2://{where}")
    values = {
        "dags": str(ROOT / "dags"),
        "database": shlex.quote(str(database)),
        "logs": str(home.folder("logs", "airflow")),
        "passwords": str(passwords),
        "secrets": shlex.quote(str(home.path / "secrets")),
        "user": USER,
    }
    write_private(folder / "airflow.cfg", render("airflow.cfg", home, **values))


def _health(home: Home) -> dict[str, dict[str, str]]:
    """What its API says of every part. Raises OSError or StackError when it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", home.ports.airflow, timeout=HTTP_TIMEOUT_S)
    with closing(connection):
        connection.request("GET", HEALTH)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise StackError(f"Airflow answers {answer.status}")
        found: dict[str, dict[str, str]] = json.load(answer)
        return found
