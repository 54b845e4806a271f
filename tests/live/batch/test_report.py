"""Schema ``report`` itself: who may read it, what explains it, and how it may change."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from tests.support.report_world import START, WIDTH, World, some_records
from watershed.batch import facts, report, report_table
from watershed.batch.intervals import Interval
from watershed.contracts.model import Column, Contract, Field
from watershed.errors import StoreError
from watershed.operations.audit import report as audit
from watershed.operations.audit.tally import ALWAYS
from watershed.provision.postgres import ensure_tables
from watershed.settings import Settings
from watershed.stores import postgres


def test_everything_in_report_is_explained(world: World) -> None:
    assert world.query("SELECT count(*) > 100 FROM information_schema.columns"
                       " WHERE table_schema = 'report'") == [(True,)]  # fmt: skip
    assert (
        world.query(
            "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " LEFT JOIN pg_description ON objoid = attrelid AND objsubid = attnum"
            " WHERE relnamespace = 'report'::regnamespace AND relkind IN ('r', 'p', 'v')"
            " AND attnum > 0 AND NOT attisdropped AND description IS NULL"
        )
        == []
    )
    assert (
        world.query(
            "SELECT relname FROM pg_class"
            " WHERE relnamespace = 'report'::regnamespace AND relkind IN ('r', 'p', 'v')"
            " AND obj_description(oid) IS NULL"
            " UNION SELECT proname FROM pg_proc WHERE pronamespace = 'report'::regnamespace"
            " AND obj_description(oid) IS NULL"
        )
        == []
    )


@pytest.fixture
def reader(database: Settings, transaction: Contract) -> Iterator[Connection]:
    """The reader's connection."""
    ensure_tables(database, [transaction])
    user, password = database.postgres_reader, database.secret("postgres_reader_password")
    with postgres.connect(database, user=user, password=password) as connection:
        connection.autocommit = True
        yield connection


def test_the_reader_may_read_the_report_and_nothing_else(reader: Connection, world: World) -> None:
    world.query("CREATE TABLE report.later (x int)")
    world.read(facts.ensure_part, world.contract, START)
    world.connection.commit()
    cursor = reader.cursor()
    readable = [name for (name,) in world.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'report'::regnamespace"
        " AND relkind IN ('r', 'p', 'v')")]  # fmt: skip
    assert {"later", "transaction", "open_position", "interval"} <= set(readable)
    for name in readable:
        cursor.execute(f"SELECT * FROM report.{name}")
    cursor.execute("SELECT * FROM report.open_position_at(now())")
    part, _ = facts.part(world.contract, START)
    for forbidden in (
        "SELECT * FROM control.stream",
        "SELECT * FROM speed.transaction_flow",
        "SELECT * FROM reference.branch",
        f"SELECT * FROM report_parts.{part}",
        "INSERT INTO report.transaction_opening VALUES ('Kazan', 'RUB', 1, 0, 'x')",
        "UPDATE report.transaction_position_by_group SET branch = 'x'",
        "CREATE TABLE report.mine (x int)",
        "CREATE TABLE public.mine (x int)",
        "CREATE TEMPORARY TABLE mine (x int)",
        "CREATE SCHEMA mine",
    ):
        with pytest.raises((psycopg2.errors.InsufficientPrivilege,
                            psycopg2.errors.ObjectNotInPrerequisiteState)):  # fmt: skip
            cursor.execute(forbidden)


@pytest.fixture
def schemas(database: Settings, tmp_path: Path) -> Path:
    """A copy of the contract's folder, to be changed."""
    shutil.copytree(database.schemas_dir, tmp_path / "schemas")
    return tmp_path / "schemas"


def _change(schemas: Path, old: str, new: str) -> None:
    path = schemas / "transaction" / "report.sql"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _ensure(world: World, schemas: Path) -> None:
    world.read(report.ensure_tables, world.contract, schemas)


def _reported(contract: Contract, **changes: Any) -> Contract:
    """The contract with changes of its report."""
    assert contract.report is not None
    return contract.model_copy(update={"report": contract.report.model_copy(update=changes)})


def _described(contract: Contract, **columns: Column | None) -> Contract:
    """The contract with other columns; None takes one away."""
    assert contract.report is not None
    described = contract.report.columns | columns
    return _reported(contract, columns={n: c for n, c in described.items() if c is not None})


NOTE = Column(type="string", description="More")


def test_a_fact_table_may_gain_columns(world: World, schemas: Path) -> None:
    world.read(facts.ensure_part, world.contract, START)
    _ensure(world, schemas)
    before = world.read(report_table.columns, "transaction")
    world.contract = _described(world.contract, note=NOTE)
    _ensure(world, schemas)
    _ensure(world, schemas)
    after = world.read(report_table.columns, "transaction")
    assert after == before | {"note": report_table.SqlColumn("text", nullable=True)}
    part, _ = facts.part(world.contract, START)
    assert world.read(report_table.columns, part, facts.PARTS) == after
    assert world.query("SELECT count(*) FROM report.open_position") == [(0,)]


def test_what_was_published_before_a_column_was_added_still_adds_up(
    world: World, schemas: Path, dice: random.Random
) -> None:
    end = START + 3 * WIDTH
    world.arrive(some_records(dice, [], START, end, 60))
    world.pass_time(end)
    world.finalize(Interval(START, START + WIDTH))
    world.contract = _described(world.contract, note=NOTE)
    _ensure(world, schemas)
    world.finalize()
    assert world.read(audit.check, world.contract, ALWAYS).faults == []
    world.query("UPDATE report.transaction SET note = 'x' WHERE interval_start = %s", START)
    assert world.read(audit.check, world.contract, ALWAYS).faults == []  # not published with it
    world.query("UPDATE report.transaction SET note = 'x' WHERE interval_start > %s", START)
    assert len(world.read(audit.check, world.contract, ALWAYS).faults) == 2
    world.query("UPDATE report.transaction SET city = 'x' WHERE interval_start = %s", START)
    assert len(world.read(audit.check, world.contract, ALWAYS).faults) == 3


def test_a_new_field_is_a_column_that_may_be_null(world: World, schemas: Path) -> None:
    field = Field(type="integer", description="More", required=False)
    fields = world.contract.fields | {"channel": field}
    world.contract = world.contract.model_copy(update={"version": 2, "fields": fields})
    _ensure(world, schemas)
    added = world.read(report_table.columns, "transaction")["channel"]
    assert added == report_table.SqlColumn("bigint", nullable=True)


@pytest.mark.parametrize(
    ("column", "named"),
    [
        (None, "city is absent"),
        (Column(type="integer", description="x"), "city is bigint"),
        (Column(type="decimal(9,2)", description="x"), r"city is numeric\(9,2\)"),
    ],
)
def test_other_changes_of_it_are_refused(
    column: Column | None, named: str, world: World, schemas: Path
) -> None:
    world.contract = _described(world.contract, city=column)
    with pytest.raises(StoreError, match=f"report.transaction has city otherwise.*there {named}"):
        _ensure(world, schemas)
    assert "city" in world.read(report_table.columns, "transaction")


def test_other_sums_are_refused(world: World, schemas: Path) -> None:
    hourly = world.contract.hourly.model_copy(update={"sum": ("amount",)})
    contract = _reported(world.contract, hourly=hourly)
    with pytest.raises(StoreError, match=r"report.transaction_hourly has other columns"):
        world.read(report.ensure_tables, contract, schemas)
    world.query("DROP TABLE report.transaction_hourly CASCADE")
    world.read(report.ensure_tables, contract, schemas)
    assert [name for (name,) in world.query(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'report.transaction_by_hour'::regclass"
        " AND attnum > 0 ORDER BY attnum"
    )] == ["event_hour", "branch", "currency", "amount", "event_count"]  # fmt: skip


def test_a_query_that_goes_on_does_not_hold_up_the_start_for_ever(
    database: Settings, world: World, schemas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "LOCK_TIMEOUT", "100ms")
    with postgres.connect(database) as other:
        other.cursor().execute("SELECT count(*) FROM report.transactions")
        with pytest.raises(StoreError, match="went on for 100ms"):
            _ensure(world, schemas)
    _ensure(world, schemas)


def test_a_view_that_cannot_be_replaced_is_named(world: World, schemas: Path) -> None:
    _change(schemas, "    event_time AS booked_at,\n", "")
    with pytest.raises(StoreError, match=r"(?s)report.sql: cannot .* column.*DROP VIEW it first"):
        _ensure(world, schemas)
    _change(schemas, "FROM report.transaction;", "FROM report.transacton;")
    with pytest.raises(StoreError, match=r'report.sql: relation "report.transacton" does not'):
        _ensure(world, schemas)
