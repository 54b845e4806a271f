"""MariaDB and Airflow as the stack runs them: addresses, sign-in, secrets, restarts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymysql
import pytest

from tests.support.airflow import Airflow
from tests.support.observed import LOOPBACK, listening, visible
from tests.support.stack import Stack
from watershed.errors import StoreError
from watershed.stack.airflow_database import KEPT
from watershed.stack.home import SECRETS
from watershed.stack.processes import spawn
from watershed.stack.services import BATCH
from watershed.stack.services.airflow import (
    API,
    DAG_PROCESSOR,
    SCHEDULER,
    TRIGGERER,
)
from watershed.stack.services.airflow import airflow as airflow_services
from watershed.stores import mariadb, postgres


def test_status_tells_of_the_batch_layer(batch_stack: Stack) -> None:
    status = batch_stack.status()
    assert status["healthy"], status
    memory = {service["name"]: service["memory_mb"] for service in status["services"]}
    assert set(BATCH) < set(memory)
    assert all(memory[name] > 0 for name in BATCH)


def test_listens_on_loopback_alone(batch_stack: Stack) -> None:
    assert listening(batch_stack) <= LOOPBACK


def test_no_secret_in_arguments_environments_or_logs(batch_stack: Stack) -> None:
    texts = visible(batch_stack)
    for program in ("mariadbd", "airflow scheduler", "airflow triggerer"):
        assert any(program in text for text in texts.values())
    secrets = [batch_stack.home.secret(name) for name in SECRETS]
    assert not [where for where, text in texts.items() if any(s in text for s in secrets)]


def test_the_shell_is_signed_in_as_a_reader(batch_stack: Stack) -> None:
    assert "RUB" in batch_stack.ws("mysql", "-e", "SELECT currency FROM currency").stdout
    refused = batch_stack.ws("mysql", "-e", "DELETE FROM currency", check=False)
    assert "denied" in refused.stderr


@pytest.mark.parametrize("user", ["root", "watershed", "", "nobody"])
def test_mariadb_lets_nobody_in_without_a_password(batch_stack: Stack, user: str) -> None:
    with pytest.raises(pymysql.OperationalError, match="denied"):
        pymysql.connect(host="127.0.0.1", port=batch_stack.home.ports.mysql, user=user)
    with (
        pytest.raises(StoreError, match="denied"),
        mariadb.connect(batch_stack.settings, user=user or "x", password="guessed"),
    ):
        pass


def test_the_panel_says_how_to_sign_in_to_airflow(airflow: Airflow, panel: str) -> None:
    [(url, user, place)] = re.findall(r" Airflow +(\S+) +(\w+), (\S+) ", panel)
    [home] = re.findall(r" home +(\S+) ", panel)
    assert (url, home) == (airflow.url, str(airflow.stack.home.path))
    password = Path(home, place).read_text()
    signed_in = airflow._send("POST", "/auth/token", {"username": user, "password": password})
    assert signed_in["access_token"]


def test_airflow_wants_its_password(airflow: Airflow) -> None:
    stranger = Airflow(airflow.stack)
    with pytest.raises(AssertionError, match="401"):
        stranger._send("POST", "/auth/token", {"username": "admin", "password": "admin"})
    with pytest.raises(AssertionError, match="401"):
        stranger._send("GET", "/api/v2/dags", None)
    assert airflow.call("GET", "/dags")["dags"]


def test_airflow_forgets_what_is_old(batch_stack: Stack, airflow: Airflow) -> None:
    """An entry of its log that is older than what is kept goes; the runs of today stay."""
    settings = batch_stack.settings
    login = {"dbname": "airflow", "user": "airflow"}
    login["password"] = settings.secret("airflow_database_password")
    old = "INSERT INTO log (dttm, event, extra) VALUES (%s, 'old', '')"
    runs = {run["dag_run_id"] for run in airflow.runs("heartbeat")}
    api, *_ = airflow_services(batch_stack.home)
    assert api.upkeep is not None
    with postgres.connect(settings, **login) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(old, [datetime.now(UTC) - KEPT - timedelta(hours=1)])
        cursor.execute(old, [datetime.now(UTC) - KEPT + timedelta(hours=1)])
        assert spawn(replace(api, command=api.upkeep()), batch_stack.home).wait() == 0
        cursor.execute("SELECT count(*) FROM log WHERE event = 'old'")
        assert cursor.fetchone() == (1,)
    assert runs
    assert runs <= {run["dag_run_id"] for run in airflow.runs("heartbeat")}


@pytest.mark.parametrize("service", ["mariadb", API, DAG_PROCESSOR, TRIGGERER, SCHEDULER])
def test_what_is_killed_comes_back(batch_stack: Stack, service: str) -> None:
    batch_stack.kill(service)
    assert batch_stack.is_ready(service)
