"""The local stack as a newcomer meets it: addresses, shells, logs, secrets."""

from __future__ import annotations

import json

import psycopg2
import pytest
import redis
from cassandra.cluster import NoHostAvailable

from tests.support.observed import LOOPBACK, listening, visible
from tests.support.stack import Stack
from watershed.stack.checks import problems
from watershed.stack.home import SECRETS, Home
from watershed.stores import cassandra, postgres


def test_status_tells_of_every_service_and_partition(stack: Stack, transaction) -> None:
    status = stack.status()
    assert status["healthy"], status
    assert {s["name"] for s in status["services"]} == {
        "cassandra", "kafka", "postgres", "redis", "stream",
    }  # fmt: skip
    assert all(service["memory_mb"] > 0 for service in status["services"])
    [contract] = status["contracts"]
    partitions = [one["partition"] for one in contract["partitions"]]
    assert partitions == list(range(transaction.topic.partitions))


def test_up_again_says_that_it_runs(stack: Stack) -> None:
    before = {name: service.pid for name, service in stack.state().services.items()}
    assert "already running" in stack.up()
    assert {name: service.pid for name, service in stack.state().services.items()} == before
    assert all(before.values())


def test_listens_on_loopback_alone(stack: Stack) -> None:
    assert listening(stack)
    assert listening(stack) <= LOOPBACK


def test_no_secret_in_arguments_environments_or_logs(stack: Stack) -> None:
    secrets = [stack.home.secret(name) for name in SECRETS]
    assert all(len(secret) >= 24 for secret in secrets)
    texts = visible(stack)
    assert any("CassandraDaemon" in text for text in texts.values())
    assert not [where for where, text in texts.items() if any(s in text for s in secrets)]


def test_secrets_settings_and_data_are_closed_to_others(stack: Stack) -> None:
    below = [stack.home.path / "data", stack.home.path]
    closed = [path for folder in below for path in folder.iterdir() if path not in below]
    assert stack.home.path / "secrets" in closed
    assert stack.home.path / "data" / "cassandra" in closed
    assert not [path for path in closed if path.stat().st_mode & 0o077]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("sql", "-At", "-c", "TABLE control.stream"), "transaction"),
        (("redis", "ping"), "PONG"),
        (("cql", "-e", "SELECT keyspace_name FROM system_schema.keyspaces"), "events"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_shells_are_signed_in(stack: Stack, command: tuple[str, ...], expected: str) -> None:
    assert expected in stack.ws(*command).stdout


def test_default_and_missing_passwords_are_refused(stack: Stack) -> None:
    with pytest.raises(psycopg2.OperationalError), postgres.connect(stack.settings, password="x"):
        pass
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=stack.home.ports.redis).ping()
    with (
        pytest.raises(NoHostAvailable),
        cassandra.connect_as(stack.settings, "cassandra", "cassandra"),
    ):
        pass


def test_logs_show_a_service_and_name_the_others(stack: Stack) -> None:
    shown = stack.ws("logs", "stream").stdout
    assert shown.strip()
    assert shown[:1000] in stack.home.log("stream").read_text()
    wrong = stack.ws("logs", "nonesuch", check=False)
    assert wrong.returncode == 1
    assert "cassandra" in wrong.stderr


def test_doctor_names_a_used_port_and_who_uses_it(stack: Stack, tmp_path) -> None:
    second = Home.open(tmp_path / "second", stack.home.port_offset)
    found = problems(second)
    assert any(f"port {stack.home.ports.kafka} (kafka) is used by java" in one for one in found)
    assert len(found) >= 4


@pytest.mark.parametrize("command", [("up", "--detach"), ("doctor",)], ids=" ".join)
def test_a_folder_with_other_things_is_left_alone(command: tuple[str, ...], tmp_path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    refused = Stack(Home.open(tmp_path)).ws(*command, check=False)
    assert refused.returncode == 1
    assert "mine.txt" in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_status_of_no_stack_says_how_to_start_one(tmp_path) -> None:
    nowhere = Stack(Home.open(tmp_path / "nowhere"))
    done = nowhere.ws("status", check=False)
    assert done.returncode == 1
    assert "./ws up" in done.stderr


def test_json_has_no_other_output(stack: Stack) -> None:
    assert json.loads(stack.ws("status", "--json").stdout)["running"]
