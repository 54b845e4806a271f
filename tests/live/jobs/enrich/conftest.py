"""Attempts at what the stack's stream has stored, in a scratch database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.attempt_world import World, copy_rows
from tests.support.postgres import on_server
from tests.support.progress import is_caught_up
from tests.support.spark import run
from tests.support.stack import Stack, wait_until
from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.provision.postgres import ensure_tables
from watershed.settings import Settings
from watershed.stack.home import ROOT, Home
from watershed.stack.processes import spawn
from watershed.stack.services.mariadb import mariadb
from watershed.stores import postgres

EVENTS = 3000
BATCH_TABLES = ("control.stream", "control.stream_batch")
SNAPSHOTS = "control.reference_snapshot"

COUNTRY = Path(__file__).with_name("country.parquet")
"""Columns ``branch`` and ``country``, of all branches but Surgut."""

TODAY = datetime.now(UTC).date()
HOLIDAYS = f"day,name\n{TODAY},today\n{TODAY + timedelta(days=1)},tomorrow\n"
HOLIDAY_TABLE = """
CREATE TABLE IF NOT EXISTS reference.holiday (day date PRIMARY KEY, name text NOT NULL);
"""
DECLARED = """
  country:
    store: parquet
    path: country.parquet
    columns: {branch: string, country: string}
    key: [branch]
  holiday:
    store: postgres
    table: reference.holiday
    columns: {day: date, name: string}
    key: [day]
"""
DESCRIBED = """\
    country: {type: string, description: Country of the branch.}
    day: {type: string, description: The holiday that it was booked on; null on other days.}
"""
UNMATCHED = "        CASE WHEN country.branch IS NULL THEN 'country' END,\n"
JOINED = """\
LEFT JOIN country ON country.branch = event.branch
LEFT JOIN holiday ON holiday.day = date(event.event_time)
"""


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's schemas with two more references, and with what transactions have of them:
    added by files alone."""
    folder = tmp_path_factory.mktemp("schemas") / "schemas"
    shutil.copytree(ROOT / "schemas", folder)
    reference, transaction = folder / "reference", folder / "transaction"
    shutil.copy(COUNTRY, reference)
    (reference / "postgres" / "holiday.csv").write_text(HOLIDAYS)
    _edit(reference / "postgres.sql", "", HOLIDAY_TABLE)
    _edit(reference / "references.yaml", "\ntables:\n", DECLARED)
    _edit(transaction / "contract.yaml", "references: [branch,", " country, holiday,")
    _edit(transaction / "contract.yaml", "  columns:\n", DESCRIBED)
    _edit(transaction / "contract.yaml", "  unmatched_max:\n", "    country: 1\n")
    _edit(
        transaction / "enrich.sql", "    event.*,\n", "    country.country, holiday.name AS day,\n"
    )
    _edit(transaction / "enrich.sql", "array_compact(array(\n", UNMATCHED)
    _edit(transaction / "enrich.sql", "FROM event\n", JOINED)
    return folder


def _edit(path: Path, after: str, text: str) -> None:
    """Put text after what a file has, or at its end."""
    before = path.read_text()
    assert before.count(after or before) == 1
    path.write_text(before.replace(after, after + text) if after else before + text)


@pytest.fixture(scope="session")
def snapshot(
    stack: Stack, migrated: str, schemas: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """A database, and a lake, with one snapshot of the reference data.

    The stack's own must not know of it: its lake has no such folder.
    """
    own = {
        "postgres_database": "test_reference",
        "lake_dir": tmp_path_factory.mktemp("lake"),
        "schemas_dir": schemas,
    }
    settings = stack.settings.model_copy(update=own)
    owner = settings.postgres_user
    on_server(settings, "CREATE DATABASE test_reference TEMPLATE {} OWNER {}", migrated, owner)
    ensure_tables(settings, load_contracts(schemas).values())
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
