"""Attempts at what the stack's stream has stored, in a scratch database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.attempt_world import World, copy_rows
from tests.support.postgres import on_server
from tests.support.progress import is_caught_up
from tests.support.spark import run
from tests.support.stack import Stack, wait_until
from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.stack.home import Home
from watershed.stack.processes import spawn
from watershed.stack.services.mariadb import mariadb
from watershed.stores import postgres

EVENTS = 3000
BATCH_TABLES = ("control.stream", "control.stream_batch")
SNAPSHOTS = "control.reference_snapshot"


@pytest.fixture(scope="session")
def snapshot(
    stack: Stack, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """A database, and a lake, with one snapshot of the reference data.

    The stack's own must not know of it: its lake has no such folder.
    """
    own = {"postgres_database": "test_reference", "lake_dir": tmp_path_factory.mktemp("lake")}
    settings = stack.settings.model_copy(update=own)
    on_server(stack.settings, "CREATE DATABASE test_reference TEMPLATE {}", migrated)
    with treasury(stack.home):
        run(stack, settings, "jobs/refresh_reference.py")
    yield settings
    on_server(stack.settings, "DROP DATABASE test_reference WITH (FORCE)")


@contextmanager
def treasury(home: Home) -> Iterator[None]:
    """The stack's MariaDB, for a while: its speed layer goes without."""
    service = mariadb(home)
    service.prepare()
    process = spawn(service, home)
    try:
        wait_until(service.ready, "MariaDB answers")
        service.after()
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def world(  # type: ignore[no-untyped-def]
    stack: Stack, database: Settings, transaction: Contract, snapshot: Settings, produce
) -> Iterator[World]:
    """Events that the stream has stored, and what the batch layer reads of its database."""
    produce("--rate", "0", "--count", str(EVENTS), "--duplicates", "0.05").wait(60)
    wait_until(lambda: is_caught_up(stack), "the stream has caught up")
    settings = database.model_copy(update={"lake_dir": snapshot.lake_dir})
    with postgres.connect(settings) as connection:
        for source, table in [*((stack.settings, t) for t in BATCH_TABLES), (snapshot, SNAPSHOTS)]:
            copy_rows(source, connection, table)
        yield World(stack, settings, transaction, connection)
