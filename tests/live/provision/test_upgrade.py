"""What an older version made comes up under this one, with its data."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.postgres import on_server, read
from tests.support.stack import Stack
from watershed.batch import run
from watershed.batch.intervals import Interval
from watershed.batch.plan import Asked, Origin
from watershed.contracts.model import Contract
from watershed.operations.audit import report as audit
from watershed.operations.audit.tally import ALWAYS
from watershed.provision import cassandra as provision
from watershed.provision.postgres import ensure_tables
from watershed.settings import Settings
from watershed.stores import cassandra, postgres, raw
from watershed.stores.record_id import TopicPartition

BEFORE = Path(__file__).with_name("before_0007.sql.gz")
"""A database dumped at migration 0006: 24 intervals of five minutes, one of them skipped, some
events that are not final, an opening balance, an attempt that was loaded and not published."""


@pytest.fixture
def old(stack: Stack) -> Iterator[Settings]:
    name = f"test_{uuid4().hex[:8]}"
    settings = stack.settings.model_copy(update={"postgres_database": name})
    on_server(stack.settings, "CREATE DATABASE {} OWNER {}", name, settings.postgres_user)
    with postgres.connect(settings) as connection, postgres.transaction(connection) as cursor:
        cursor.execute(gzip.decompress(BEFORE.read_bytes()).decode())
    yield settings
    on_server(stack.settings, "DROP DATABASE {} WITH (FORCE)", name)


def query(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    with postgres.transaction(connection) as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_a_database_comes_up_with_its_data(old: Settings, transaction: Contract) -> None:
    for _ in range(2):
        ensure_tables(old, [transaction])
    with postgres.connect(old) as connection:
        assert query(
            connection,
            "SELECT currency, position, opening, final, live, transactions"
            " FROM report.open_position ORDER BY currency",
        ) == [
            ("EUR", Decimal("-141.03"), 0, Decimal("-141.03"), 0, 8),
            (
                "RUB",
                Decimal("1223.64"),
                Decimal("1000.50"),
                Decimal("273.59"),
                Decimal("-50.45"),
                12,
            ),
            ("USD", Decimal("-200.54"), 0, Decimal("-200.54"), 0, 11),
        ]
        found = read(connection, audit.check, transaction, ALWAYS)
        assert (found.intervals, found.facts, found.faults) == (23, 28, [])
        first = "(SELECT min(interval_start) FROM report.transaction)"
        change = f"UPDATE report.transaction SET city = 'x' WHERE interval_start = {first}"
        assert len(query(connection, f"{change} RETURNING 1")) == 1
        [fault] = read(connection, audit.check, transaction, ALWAYS).faults
        assert "its facts are not those that were published" in fault
        assert query(connection, "SELECT count(*) FROM report.interval WHERE is_skipped") == [(1,)]
        assert query(connection, "SELECT count(*) FROM pg_tables WHERE schemaname = 'staging'") == [
            (0,)
        ]
        asked = Asked("transaction", Origin.NOTHING)
        midnight = datetime(2026, 11, 1, tzinfo=UTC)
        following = Interval(midnight.replace(minute=5), midnight.replace(minute=10))
        assert read(connection, run.intervals, transaction, asked, 300, 1000) == [following]


def test_no_name_of_before_is_left(old: Settings, transaction: Contract) -> None:
    ensure_tables(old, [transaction])
    with postgres.connect(old) as connection:
        assert query(
            connection,
            "SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class ON attrelid = oid"
            " WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_|^inf')"
            " AND relkind IN ('r', 'p', 'v')"
            " AND (attname ~ 'settled|generation' OR relname ~ 'settled|generation')",
        ) == []  # fmt: skip


def test_a_raw_table_comes_up_with_its_rows(stack: Stack, transaction: Contract) -> None:
    contract = transaction.model_copy(update={"type": "upgraded"})
    table = raw.table(contract)
    with cassandra.connect(stack.settings) as session:
        session.execute(table.create().replace("topic_id", "generation"))
        session.execute(
            "INSERT INTO upgraded (generation, kafka_partition, offset_block, kafka_offset, branch)"
            " VALUES ('one', 2, 0, 7, 'Kazan')"
        )
    provision.ensure_tables(stack.settings, [contract])
    with cassandra.connect(stack.settings) as session:
        columns = "kafka_offset", "branch"
        rows = raw.rows(session, table.name, columns, TopicPartition("one", 2), range(10))
        assert [tuple(row) for row in rows] == [(7, "Kazan")]
