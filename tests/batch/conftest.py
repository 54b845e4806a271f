"""The stack that all tests share, started again with the batch layer and intervals of a minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.airflow import Airflow
from tests.support.batch import FINAL_WITHIN_S, INTERVAL_S, Published, produce, up, wait_final
from tests.support.oracle import Oracle
from tests.support.records import event, send
from tests.support.stack import Stack
from watershed.contracts.model import Contract
from watershed.stores import postgres


@pytest.fixture(scope="session")
def panel(stack: Stack) -> str:
    """Starts the shared stack on the same home, with what it stored so far; what ``./ws up`` says
    then on a wide terminal."""
    stack.ws("down")
    return up(stack)


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
