"""``jobs/refresh_reference.py`` on real stores: one snapshot, whole or not at all."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pymysql
import pytest
from psycopg2.extensions import connection as Connection

from tests.support.jobs import Jobs, treasury
from tests.support.postgres import read
from watershed.errors import StoreError
from watershed.provision.mariadb import ensure_database
from watershed.stores import mariadb, reference

JOB = "refresh_reference.py"
FIRST_QUOTE = {
    "EUR": date(1999, 1, 1),
    "USD": date(1999, 1, 4),
    "GBP": date(1999, 1, 4),
    "RUB": date(2005, 4, 1),
}
AHEAD = timedelta(days=31)


def tables(connection: Connection) -> dict[str, dict[str, object]]:
    """What the newest snapshot's record says of its tables."""
    cursor = connection.cursor()
    cursor.execute("SELECT tables FROM control.reference_snapshot ORDER BY snapshot DESC LIMIT 1")
    found: dict[str, dict[str, object]] = cursor.fetchone()[0]  # type: ignore[index]
    return found


def limits(connection: Connection) -> dict[str, Decimal]:
    """PostgreSQL's copy."""
    cursor = connection.cursor()
    cursor.execute("SELECT currency, limit_amount FROM reference.position_limit")
    return dict(cursor.fetchall())


@pytest.mark.timeout(600)
def test_snapshots_are_whole_whatever_happens(jobs: Jobs, connection: Connection) -> None:
    first = _first(jobs, connection)
    with treasury(jobs.settings) as cursor:
        cursor.execute("UPDATE position_limit SET limit_amount = 70000 WHERE currency = 'RUB'")
        cursor.execute("INSERT INTO currency (currency, name) VALUES ('KZT', 'Tenge')")
    _refused(jobs, connection, first)
    cursor = connection.cursor()
    cursor.execute(
        "INSERT INTO reference.fx_manual (currency, day, per_eur) VALUES ('KZT', current_date, 600)"
    )
    _killed(jobs, connection, first)
    cursor.execute("DELETE FROM reference.fx_manual WHERE currency = 'RUB' AND day > '2026-06-01'")
    done = jobs.run(JOB)
    assert done.returncode == 0, done.stdout
    cursor.execute("SELECT message FROM control.alert WHERE source = 'refresh_reference'")
    [message] = cursor.fetchall()[-1]
    assert "currency=RUB rate_date=2026-06-01" in message
    second = read(connection, reference.newest)
    assert second.snapshot > first.snapshot
    assert jobs.folders("reference/*") == [first.folder, second.folder]
    assert jobs.folders(".making/*") == []
    assert limits(connection)["RUB"] == 70000
    assert tables(connection)["currency"]["rows"] == 5
    assert tables(connection)["fx_rate"]["rows"] == _days() + 1 + AHEAD.days


def _first(jobs: Jobs, connection: Connection) -> reference.ReferenceSnapshot:
    done = jobs.run(JOB)
    assert done.returncode == 0, done.stdout
    for secret in jobs.settings.secrets_dir.iterdir():
        assert secret.read_text().strip() not in done.stdout
    snapshot = read(connection, reference.newest)
    assert jobs.folders("reference/*/*") == [
        f"{snapshot.folder}/{name}" for name in sorted(tables(connection))
    ]
    rows = {name: content["rows"] for name, content in tables(connection).items()}
    assert rows.pop("fx_rate") == _days()
    assert rows.pop("fx_manual") == 56
    assert rows == {"branch": 4, "currency": 4, "position_limit": 4}
    with mariadb.connect(jobs.settings) as treasury_connection:
        cursor = treasury_connection.cursor()
        cursor.execute("SELECT currency, limit_amount FROM position_limit")
        assert limits(connection) == dict(cursor.fetchall())
    return snapshot


def _days() -> int:
    """Calendar days with a rate, of the four currencies."""
    until = datetime.now(UTC).date() + AHEAD
    return sum((until - first).days + 1 for first in FIRST_QUOTE.values())


def _refused(jobs: Jobs, connection: Connection, last: reference.ReferenceSnapshot) -> None:
    done = jobs.run(JOB)
    assert done.returncode == 1
    assert "every currency has a rate for today: currency=KZT" in done.stdout
    assert "-> enter one in PostgreSQL's reference.fx_manual" in done.stdout
    assert "Traceback" not in done.stdout
    _unchanged(jobs, connection, last)
    assert jobs.folders("reference/*") == [last.folder]


def _killed(jobs: Jobs, connection: Connection, last: reference.ReferenceSnapshot) -> None:
    jobs.die_at("snapshot_in_place", JOB)
    assert len(jobs.folders("reference/*")) == 2
    _unchanged(jobs, connection, last)


def _unchanged(jobs: Jobs, connection: Connection, last: reference.ReferenceSnapshot) -> None:
    assert read(connection, reference.newest) == last
    assert limits(connection)["RUB"] == 50000


def test_the_pipeline_reads_the_treasury_and_changes_nothing(jobs: Jobs) -> None:
    with mariadb.connect(jobs.settings) as connection, pytest.raises(pymysql.err.OperationalError):
        connection.cursor().execute("UPDATE position_limit SET limit_amount = 1")


def test_what_the_treasury_changed_stays(jobs: Jobs) -> None:
    with treasury(jobs.settings) as cursor:
        cursor.execute("UPDATE position_limit SET limit_amount = 12.34 WHERE currency = 'GBP'")
        cursor.execute("DELETE FROM position_limit WHERE currency = 'EUR'")
    for _ in range(2):
        ensure_database(jobs.settings, jobs.settings.secret("mysql_admin_password"))
    with mariadb.connect(jobs.settings) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT currency, limit_amount FROM position_limit")
        found = dict(cursor.fetchall())
    assert (found["GBP"], found["EUR"]) == (Decimal("12.34"), Decimal("15000.00"))


def test_a_server_that_is_away_is_named(jobs: Jobs) -> None:
    away = jobs.settings.model_copy(update={"mysql_port": 1})
    refused = pytest.raises(StoreError, match=r"MariaDB at 127\.0\.0\.1:1: Can't connect")
    with refused, mariadb.connect(away):
        pass
    done = Jobs(away).run(JOB)
    assert done.returncode == 1
    assert "MariaDB at 127.0.0.1:1" in done.stdout
    assert "Traceback" not in done.stdout
