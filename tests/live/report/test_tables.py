"""Schema ``report`` itself: who may read it, what explains it, and how it may change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from tests.live.report.conftest import START
from tests.live.report.world import World
from watershed.batch import facts, report
from watershed.contracts.model import Contract
from watershed.errors import StoreError
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
    assert {"later", "transaction", "open_position", "final_interval"} <= set(readable)
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
        "UPDATE report.open_position_by_branch SET branch = 'x'",
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


def test_a_fact_table_may_gain_columns(world: World, schemas: Path) -> None:
    world.read(facts.ensure_part, world.contract, START)
    world.connection.commit()
    _ensure(world, schemas)
    before = world.read(facts.columns, "transaction")
    _change(schemas, "    city             text,\n", "    city text,\n    note text,\n")
    _ensure(world, schemas)
    _ensure(world, schemas)
    after = world.read(facts.columns, "transaction")
    assert after == before | {"note": facts.Column("text", nullable=True)}
    part, _ = facts.part(world.contract, START)
    assert world.read(facts.columns, part, facts.PARTS) == after
    assert world.query("SELECT count(*) FROM report.open_position") == [(0,)]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("    city             text,\n", "    note text NOT NULL, city text,\n", "note"),
        ("    city             text,\n", "    city varchar(10),\n", "city"),
        ("    city             text,\n", "", "city"),
        ("    city             text,\n", "    city text NOT NULL,\n", "city"),
        ("amount_eur       numeric(20,2)", "amount_eur numeric(20,3)", "amount_eur"),
    ],
)
def test_other_changes_of_it_are_refused(
    old: str, new: str, named: str, world: World, schemas: Path
) -> None:
    _change(schemas, old, new)
    with pytest.raises(StoreError, match=f"declares {named} of report.transaction otherwise"):
        _ensure(world, schemas)
    assert "city" in world.read(facts.columns, "transaction")


def test_a_report_that_lacks_what_publishing_needs(world: World, schemas: Path) -> None:
    for dependent in ("transactions", "open_position", "open_position_by_branch", "reconciliation"):
        world.query(f"DROP VIEW IF EXISTS report.{dependent} CASCADE")
    world.query("DROP TABLE report.transaction")
    _change(schemas, "    payload_hash     bigint NOT NULL,\n", "")
    _change(schemas, "    branch           text NOT NULL,\n", "")
    with pytest.raises(StoreError, match="lacks payload_hash bigint, branch"):
        _ensure(world, schemas)
    shutil.copy(Path("schemas/transaction/report.sql"), schemas / "transaction")
    _change(schemas, ") PARTITION BY RANGE (interval_start);", ");")
    with pytest.raises(StoreError, match=r"lacks PARTITION BY RANGE \(interval_start\)"):
        _ensure(world, schemas)
    shutil.copy(Path("schemas/transaction/report.sql"), schemas / "transaction")
    _ensure(world, schemas)


def test_other_sums_are_refused(world: World, schemas: Path) -> None:
    said = world.contract.report
    assert said is not None
    hourly = said.hourly.model_copy(update={"sum": ("amount",)})
    contract = world.contract.model_copy(
        update={"report": said.model_copy(update={"hourly": hourly})}
    )
    with pytest.raises(StoreError, match=r"report.transaction_hourly has other columns"):
        world.read(report.ensure_tables, contract, schemas)


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
