"""Parts of the stack on their own: Kafka for the producers, PostgreSQL for the batch layer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import uuid4

import pytest
from kafka.admin import NewTopic

from tests.support.postgres import on_server
from tests.support.report_ledger import Ledger
from tests.support.report_world import START, World
from tests.support.stack import Stack
from watershed.contracts.model import Contract
from watershed.provision.postgres import ADMIN, ensure_database, ensure_tables
from watershed.settings import Settings
from watershed.stores import postgres
from watershed.stores.topics import admin


@dataclass(frozen=True)
class Broker:
    """The stack's broker, which can be taken away for a while."""

    stack: Stack
    brokers: str

    def away(self) -> AbstractContextManager[None]:
        """Takes it away for a while; it answers again at the end."""
        return self.stack.away("kafka")


@pytest.fixture
def kafka(stack: Stack) -> Broker:
    return Broker(stack, stack.settings.kafka_brokers)


@pytest.fixture
def topic(stack: Stack) -> str:
    """A fresh topic with three partitions."""
    name = f"test-{uuid4().hex[:8]}"
    with admin(stack.settings) as client:
        config = {"message.timestamp.type": "LogAppendTime"}
        new = NewTopic(name, num_partitions=3, replication_factor=1, topic_configs=config)
        client.create_topics([new], wait_for_metadata=True)
    return name


@pytest.fixture(scope="session")
def migrated(stack: Stack, transaction: Contract) -> Iterator[str]:
    """A database of the stack's server with every table and no rows, to be copied."""
    name = "test_template"
    on_server(stack.settings, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
    settings = stack.settings.model_copy(update={"postgres_database": name})
    ensure_database(settings, ADMIN, settings.secret("postgres_admin_password"))
    ensure_tables(settings, [transaction])
    yield name
    on_server(stack.settings, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def database(stack: Stack, migrated: str) -> Iterator[Settings]:
    """Settings of a scratch database in the stack's server, with the contract's empty tables."""
    name = f"test_{uuid4().hex[:8]}"
    owner = stack.settings.postgres_user
    on_server(stack.settings, "CREATE DATABASE {} TEMPLATE {} OWNER {}", name, migrated, owner)
    yield stack.settings.model_copy(update={"postgres_database": name})
    on_server(stack.settings, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def contract(transaction: Contract) -> Contract:
    """One hour's lookback: tests of a few hours have repeated events on both sides of it."""
    return transaction.model_copy(update={"lookback_hours": 1})


@pytest.fixture
def world(database: Settings, contract: Contract) -> Iterator[World]:
    with postgres.connect(database) as connection:
        world = World(connection, contract, START)
        world.start()
        yield world


@pytest.fixture
def ledger(world: World) -> Ledger:
    return Ledger(world)


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Chance, the same for one seed and test."""
    return random.Random(f"{request.config.getoption('seed')} {request.node.name}")
