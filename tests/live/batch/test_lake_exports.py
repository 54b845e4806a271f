"""Which days of arrival time are due for the lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.postgres import read
from watershed.batch import lake_exports
from watershed.batch.lake_exports import Days
from watershed.contracts.model import Contract
from watershed.errors import LeaseHeldError
from watershed.settings import Settings
from watershed.stores import postgres
from watershed.stores.reference import TableContent

FIRST = datetime(2026, 11, 20, 17, 30, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.fixture
def connection(database: Settings, transaction: Contract) -> Iterator[Connection]:
    """A stream whose first event arrived at FIRST."""
    with postgres.connect(database) as connection:
        cursor = connection.cursor()
        cursor.execute("UPDATE control.stream SET topic_id = 'one'")
        cursor.execute(
            "INSERT INTO control.stream_batch (type, topic_id, kafka_partition, from_offset,"
            " to_offset, arrival_min, arrival_max, contract_version, stored, quarantined, sequence)"
            " VALUES (%s, 'one', 0, 0, 10, %s, %s, 1, 10, 0, 1)",
            [transaction.type, FIRST, FIRST + timedelta(hours=8)],
        )
        connection.commit()
        yield connection


def complete(connection: Connection, *watermarks: datetime | None) -> None:
    """One partition for each watermark."""
    with connection:
        cursor = connection.cursor()
        cursor.execute("DELETE FROM control.stream_offset")
        for partition, watermark in enumerate(watermarks):
            cursor.execute(
                "INSERT INTO control.stream_offset (type, topic_id, kafka_partition,"
                " begin_offset, next_offset, stored, indexed_from, watermark)"
                " VALUES ('transaction', 'one', %s, 0, 10, 10, 0, %s)",
                [partition, watermark],
            )


def test_a_day_is_due_when_every_partition_has_passed_its_end(
    connection: Connection, transaction: Contract
) -> None:
    assert read(connection, lake_exports.days, transaction, NOW) == Days([], [], None)
    complete(connection, NOW, None)
    assert read(connection, lake_exports.days, transaction, NOW) == Days([], [], None)
    complete(connection, NOW, datetime(2026, 11, 20, 23, 59, 59, 999000, UTC))
    assert read(connection, lake_exports.days, transaction, NOW).due == []
    complete(connection, NOW, datetime(2026, 11, 21, tzinfo=UTC))
    assert read(connection, lake_exports.days, transaction, NOW).due == [date(2026, 11, 20)]
    complete(connection, NOW, NOW)
    due = [date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 22), date(2026, 11, 23)]
    assert read(connection, lake_exports.days, transaction, NOW) == Days(due, [], NOW.date())


def test_days_in_the_lake_and_expired_days_are_not_due(
    connection: Connection, transaction: Contract
) -> None:
    complete(connection, NOW)
    lake_exports.record(connection, transaction, date(2026, 11, 22), TableContent(10, "0" * 16))
    ttl = timedelta(days=transaction.retention.ttl_days)
    later = datetime(2026, 11, 20, tzinfo=UTC) + ttl - lake_exports.EXPIRY_MARGIN
    at_the_margin = read(connection, lake_exports.days, transaction, later)
    assert at_the_margin.due == [date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 23)]
    past_it = read(connection, lake_exports.days, transaction, later + timedelta(seconds=1))
    assert past_it.due == [date(2026, 11, 21), date(2026, 11, 23)]
    assert past_it.expired == [date(2026, 11, 20)]


def test_one_export_at_a_time(
    connection: Connection, database: Settings, transaction: Contract
) -> None:
    with (
        postgres.connect(database) as other,
        lake_exports.exporting(connection, transaction),
        pytest.raises(LeaseHeldError),
        lake_exports.exporting(other, transaction),
    ):
        pass
