"""Snapshots in PostgreSQL: which one counts, what is forgotten, and what people entered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.postgres import read
from watershed.contracts.model import Contract
from watershed.errors import LeaseHeldError, StoreError
from watershed.settings import Settings
from watershed.stores import postgres, reference
from watershed.stores.reference import Copy, ReferenceSnapshot, TableContent

TABLES = {"branch": TableContent(4, "00000000000000aa")}


@pytest.fixture
def connection(database: Settings) -> Iterator[Connection]:
    with postgres.connect(database) as connection:
        yield connection


def taken(connection: Connection) -> ReferenceSnapshot:
    snapshot = reference.next_snapshot(connection)
    reference.record(connection, snapshot, TABLES, [])
    return snapshot


def age(connection: Connection, snapshot: ReferenceSnapshot) -> None:
    """Let it be two days old."""
    with connection:
        connection.cursor().execute(
            "UPDATE control.reference_snapshot SET taken_at = taken_at - interval '2 days'"
            " WHERE snapshot = %s",
            [snapshot.snapshot],
        )


def test_the_newest_snapshot_is_taken(connection: Connection) -> None:
    with pytest.raises(StoreError) as none:
        read(connection, reference.newest)
    assert none.value.cause == "there is no snapshot of the reference data yet"
    first, second = taken(connection), taken(connection)
    assert second.snapshot > first.snapshot
    assert read(connection, reference.newest) == second
    assert read(connection, reference.get, first.snapshot) == first
    with pytest.raises(StoreError) as unknown:
        read(connection, reference.get, second.snapshot + 1)
    assert "begin a new attempt" in unknown.value.remedy


def test_a_number_is_used_once_though_nothing_came_of_it(connection: Connection) -> None:
    given_up = reference.next_snapshot(connection)
    assert taken(connection).snapshot > given_up.snapshot


def test_copies_are_replaced_with_the_record(connection: Connection) -> None:
    def limits() -> list[tuple[object, ...]]:
        cursor = connection.cursor()
        cursor.execute("SELECT currency, limit_amount::text FROM reference.position_limit")
        return cursor.fetchall()

    columns = ["currency", "limit_amount"]
    for rows in ([("RUB", 1), ("USD", 2)], [("USD", 3)]):
        copy = Copy("reference.position_limit", columns, rows)
        reference.record(connection, reference.next_snapshot(connection), TABLES, [copy])
    assert limits() == [("USD", "3.00")]
    broken = Copy("reference.position_limit", columns, [("GBP", None)])
    with pytest.raises(Exception, match="null value"):
        reference.record(connection, reference.next_snapshot(connection), TABLES, [broken])
    assert limits() == [("USD", "3.00")]
    assert read(connection, reference.newest).snapshot == _snapshots(connection)[-1]
    assert len(_snapshots(connection)) == 2


def _snapshots(connection: Connection) -> list[int]:
    cursor = connection.cursor()
    cursor.execute("SELECT snapshot FROM control.reference_snapshot ORDER BY snapshot")
    return [number for (number,) in cursor.fetchall()]


def test_one_refresh_at_a_time(connection: Connection, database: Settings) -> None:
    with postgres.connect(database) as other:
        refused = pytest.raises(LeaseHeldError)
        with reference.refreshing(connection), refused as held, reference.refreshing(other):
            pass
        assert "is refreshing the reference data" in held.value.cause
        with reference.refreshing(other):
            pass


def test_folders_that_nothing_names_are_taken_away(connection: Connection, tmp_path: Path) -> None:
    kept = taken(connection)
    unrecorded = reference.next_snapshot(connection)
    half = tmp_path / ".making" / "snapshot-7" / "branch"
    for folder in (tmp_path / kept.folder, tmp_path / unrecorded.folder, half):
        folder.mkdir(parents=True)
        (folder / "part.parquet").touch()
    gone = reference.remove_unrecorded(connection, tmp_path)
    assert {path.name for path in gone} == {f"snapshot={unrecorded.snapshot}", "snapshot-7"}
    assert [path.parent.name for path in tmp_path.rglob("*.parquet")] == [
        f"snapshot={kept.snapshot}"
    ]


def test_snapshots_that_nothing_names_are_forgotten(
    connection: Connection, transaction: Contract
) -> None:
    named, unused, fresh, newest = (taken(connection) for _ in range(4))
    for old in (named, unused, newest):
        age(connection, old)
    with connection:
        connection.cursor().execute(
            "INSERT INTO control.attempt (type, start_at, end_at, snapshot, query_sha256,"
            " contract_version, run_id)"
            " VALUES (%s, now() - interval '1 hour', now(), %s, '', 1, '')",
            [transaction.type, named.snapshot],
        )
    assert reference.prune(connection) == 1
    assert _snapshots(connection) == [named.snapshot, fresh.snapshot, newest.snapshot]


def test_what_people_entered_stays(connection: Connection, database: Settings) -> None:
    cursor = connection.cursor()
    cursor.execute("UPDATE reference.branch SET region = 'Arctic' WHERE branch = 'Surgut'")
    cursor.execute("DELETE FROM reference.branch WHERE branch = 'Kazan'")
    cursor.execute("INSERT INTO reference.branch VALUES ('Perm', 'Volga', 'Perm', '2026-05-04')")
    cursor.execute("UPDATE reference.fx_manual SET per_eur = 93.5 WHERE day = '2022-04-01'")
    connection.commit()
    for _ in range(2):
        read(connection, reference.ensure_tables, database.schemas_dir)
        connection.commit()
    cursor.execute("SELECT branch, region FROM reference.branch ORDER BY branch")
    assert cursor.fetchall() == [
        ("Kazan", "Volga"),
        ("Novosibirsk", "Siberia"),
        ("Perm", "Volga"),
        ("SPB", "Northwest"),
        ("Surgut", "Arctic"),
    ]
    cursor.execute("SELECT per_eur::text FROM reference.fx_manual WHERE day = '2022-04-01'")
    assert cursor.fetchall() == [("93.50000000",)]


def test_entered_rates_are_labelled(connection: Connection) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT DISTINCT currency, source FROM reference.fx_manual")
    assert cursor.fetchall() == [("RUB", "indicative, entered by hand")]
    with pytest.raises(Exception, match="fx_manual_source_check"):
        cursor.execute(
            "INSERT INTO reference.fx_manual (currency, day, per_eur, source)"
            " VALUES ('USD', '2026-11-02', 1.1, 'ecb')"
        )
