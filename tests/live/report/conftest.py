"""PostgreSQL alone: a stream that the test makes up, and what it must come to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.live.report.ledger import Ledger
from tests.live.report.world import World
from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.stores import postgres

START = datetime(2026, 10, 31, 22, 0, tzinfo=UTC)
"""Two hours before a month ends, so that facts lie in two parts."""


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
