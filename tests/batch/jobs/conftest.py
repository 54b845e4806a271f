"""Stores that only one module has, in the servers of the stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.jobs import Jobs, jobs_of
from tests.support.stack import Stack
from watershed.stores import postgres


@pytest.fixture(scope="module")
def jobs(batch_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    with jobs_of(batch_stack.settings, tmp_path_factory.mktemp("jobs")) as jobs:
        yield jobs


@pytest.fixture
def connection(jobs: Jobs) -> Iterator[Connection]:
    """A connection to them that commits each statement."""
    with postgres.connect(jobs.settings) as connection:
        connection.autocommit = True
        yield connection
