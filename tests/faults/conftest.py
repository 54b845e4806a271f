"""What fault tests share: events that flow meanwhile, and chance that can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.fault import MIXED, Load
from tests.support.progress import wait_commits, wait_recovered
from tests.support.stack import Stack


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Chance, the same for one seed and test, whatever other tests run."""
    return random.Random(f"{request.config.getoption('seed')} {request.node.name}")


@pytest.fixture
def load(stack: Stack, produce) -> Load:
    """Events flow meanwhile: good ones, repeated ones, broken ones. Ends when lag is back."""

    @contextmanager
    def flowing() -> Iterator[None]:
        source = produce(*MIXED)
        wait_commits(stack)
        yield
        wait_recovered(stack)
        source.terminate()
        out, _ = source.communicate(timeout=60)
        assert source.returncode == 0, out

    return flowing
