"""The stack that all tests share, started again with the batch layer and intervals of a minute."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from tests.batch.airflow import Airflow
from tests.batch.published import arrival_times
from tests.oracle import Oracle
from tests.progress import is_caught_up
from tests.records import event, send
from tests.stack import Stack, wait_until
from watershed.contracts.model import Contract
from watershed.stack.home import ROOT
from watershed.stores import postgres

INTERVAL_S = 60
ENRICH = "enrich_transaction"
FINAL_WITHIN_S = 480
"""After the start, with all that other tests left; ten minutes are promised."""


class Published(NamedTuple):
    """What is final once the first events are: since when the stack runs, the id that two events
    with different content have, and that of a booking older than every rate."""

    started: datetime
    conflict: str
    rateless: str


@pytest.fixture(scope="session")
def panel(stack: Stack) -> str:
    """Starts the shared stack on the same home, with what it stored so far; what ``./ws up`` says
    then on a wide terminal."""
    stack.ws("down")
    return up(stack)


def up(stack: Stack) -> str:
    """Start a stack that was stopped, with the batch layer; what ``./ws up`` says."""
    own = {"WATERSHED_BATCH_INTERVAL_S": str(INTERVAL_S), "COLUMNS": "200"}
    return stack.up(batch=True, environment=own)


@pytest.fixture(scope="session")
def batch_stack(stack: Stack, panel: str) -> Stack:
    """The shared stack with the batch layer."""
    return stack


@pytest.fixture(scope="session")
def airflow(batch_stack: Stack) -> Airflow:
    return Airflow(batch_stack)


@pytest.fixture
def connection(batch_stack: Stack) -> Iterator[Connection]:
    """A connection that commits each statement."""
    with postgres.connect(batch_stack.settings) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture(scope="session")
def published(batch_stack: Stack, oracle: Oracle, transaction: Contract) -> Published:
    """Events of two intervals at least, some repeated, some broken; final with no help."""
    started = datetime.now(UTC)
    conflict, rateless = str(uuid4()), str(uuid4())
    same = {"transaction_id": conflict, "event_time": started.isoformat(timespec="milliseconds")}
    send(batch_stack, oracle, conflict.encode(), event(**same, amount=1.25), "valid")
    half = INTERVAL_S // 2 + 3  # in its interval the rateless one is among thousands
    produce(batch_stack, oracle, seconds=half)
    old = event(transaction_id=rateless, event_time="1998-12-31T12:00:00Z", amount=2.5)
    send(batch_stack, oracle, rateless.encode(), old, "valid")
    produce(batch_stack, oracle, seconds=half)
    for amount in (1.25, 7.50):
        later = event(**same, amount=amount)
        send(batch_stack, oracle, conflict.encode(), later, "duplicate")
    wait_final(batch_stack, transaction, FINAL_WITHIN_S)
    return Published(started, conflict, rateless)


def alert(connection: Connection, run_id: str) -> str:
    """The one alert of a run."""
    cursor = connection.cursor()
    cursor.execute("SELECT message FROM control.alert WHERE detail->>'run' = %s", [run_id])
    [[message]] = cursor.fetchall()
    return str(message)


def produce(stack: Stack, oracle: Oracle, seconds: int, rate: int = 200) -> None:
    """Send transactions for so long, a share of them repeated or broken."""
    options = ["--rate", rate, "--count", rate * seconds, "--duplicates", 0.05, "--invalid", 0.02]
    where = ["--broker", stack.settings.kafka_brokers, "--ack-log", oracle.log]
    command = [sys.executable, "-m", "producers.transactions", *map(str, [*where, *options])]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=seconds + 60)


def wait_final(stack: Stack, contract: Contract, timeout_s: float) -> None:
    """Wait until everything that Kafka has is stored, and all that is stored is final."""
    wait_until(lambda: is_caught_up(stack), "the stream has caught up")
    last = max(arrival_times(stack, contract).values())
    wait_until(lambda: final_until(stack) > last, f"what arrived by {last} is final", timeout_s)


def final_until(stack: Stack) -> datetime:
    """Up to which arrival time everything is final; the first day of all before it is."""
    with postgres.connect(stack.settings) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT final_until FROM control.stream WHERE type = 'transaction'")
        [found] = cursor.fetchone() or [None]
    return found or datetime.min.replace(tzinfo=UTC)
