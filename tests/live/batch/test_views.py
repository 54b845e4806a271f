"""A report that is all derived, of a contract whose names are those of other tables' columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.postgres import read
from watershed.batch import attempts, ledger, publish, quality_checks, report, run, staging_table
from watershed.batch.attempts import Loaded
from watershed.batch.intervals import Interval
from watershed.batch.plan import Asked, Origin
from watershed.contracts import derived
from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.operations.audit import report as audit
from watershed.operations.audit.tally import ALWAYS
from watershed.provision.postgres import ensure_tables
from watershed.settings import Settings
from watershed.speed import commit, lease, progress, retention
from watershed.speed.flow import Sum
from watershed.speed.time_index import OffsetRange
from watershed.stores import postgres
from watershed.stores.topics import TopicState
from watershed.timestamps import floored

CONTRACT = """
type: odd
version: 1
description: An event of odd names.
topic: {name: odd, partitions: 1}
fields:
  id: {type: uuid, description: Names it.}
  at: {type: timestamp, description: When it was.}
  t: {type: string, description: Whose it is.}
  kind: {type: string, description: Of which kind it is.}
  events: {type: "decimal(18,2)", description: How much it is.}
  stream: {type: integer, description: Anything., required: false}
event_id: id
event_time: at
entity: t
critical: {when: events > 1000}
flow:
  window_column: start_at
  group_by: {type: t, attempt: kind}
  sum: {rows: events}
position: {group_by: [type]}
retention: {ttl_days: 7300}
report: {}
"""
WIDTH_S = 300
START = datetime(2026, 10, 31, 23, 45, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVENTS = [
    # minute of arrival, id, t, kind, events
    (0, 1, "a", "x", "1.50"),
    (1, 2, "a", "y", "2.25"),
    (2, 1, "a", "x", "1.50"),  # repeats the first
    (3, 3, "b", "x", "-4.00"),
    (6, 4, "a", "x", "10.00"),
    (11, 5, "b", "y", "100.00"),
    (16, 6, "a", "x", "1000.00"),
]


@pytest.fixture
def odd(tmp_path: Path) -> Contract:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "contract.yaml").write_text(CONTRACT)
    return load_contracts(tmp_path)["odd"]


@pytest.fixture
def connection(database: Settings, odd: Contract) -> Iterator[Connection]:
    """Twenty minutes of events; the first interval is published, the second skipped, the third
    published again; the last is live."""
    ensure_tables(database, [odd])
    with postgres.connect(database) as connection:
        query(connection, "INSERT INTO control.reference_snapshot (folder, tables)"
              " VALUES ('one', '{}')")  # fmt: skip
        _stream(connection, odd)
        first, second, third = (
            Interval(START + m * MINUTE, START + (m + 5) * MINUTE) for m in (0, 5, 10)
        )
        _publish(connection, odd, first)
        ledger.skip(connection, odd, second)
        for _ in range(2):
            _publish(connection, odd, third)
        assert read(connection, ledger.final_range, "odd") == Interval(START, third.end)
        yield connection


def query(connection: Connection, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with postgres.transaction(connection) as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def _stream(connection: Connection, odd: Contract) -> None:
    """Commit each event alone."""
    progress.resume(connection, odd, TopicState("odd", "topic", {0: 0}, {0: 0}))
    epoch = lease.acquire(connection, "odd", "test")
    assert epoch is not None
    for offset, (minute, _, t, kind, events) in enumerate(EVENTS):
        at = START + minute * MINUTE
        offsets = OffsetRange(0, offset, offset + 1, at, at, 1, 0)
        total = Sum(floored(at, 2), (t, kind), Decimal(events), 1)
        commit.commit(connection, odd, "topic", epoch, [offsets], [total])
    ends, until = {0: len(EVENTS)}, START + 17 * MINUTE
    progress.advance_idle(connection, "odd", "topic", epoch, ends, until)


def _publish(connection: Connection, odd: Contract, interval: Interval) -> None:
    asked = Asked("odd", Origin.FORM, interval)
    intervals = read(connection, run.intervals, odd, asked, WIDTH_S, 1000)
    attempt = read(connection, attempts.begin, odd, intervals, 1, "query", "test")
    staging_table.make(connection, attempt)
    seen: set[int] = set()
    for offset, (minute, number, t, kind, events) in enumerate(EVENTS):
        at = START + minute * MINUTE
        if interval.start <= at < interval.end:
            query(
                connection,
                f"INSERT INTO staging.{staging_table.name(attempt)} (id, at, t, kind, events,"
                " interval_start, arrival_time, topic_id, kafka_partition, kafka_offset,"
                " payload_hash, is_first) VALUES (%s::uuid, %s, %s, %s, %s, %s, %s, 'topic', 0, %s,"
                " 7, %s)",
                str(UUID(int=number)), at - 30 * MINUTE, t, kind, events, interval.start, at,
                offset, number not in seen,
            )  # fmt: skip
            seen.add(number)
    count = sum(interval.start <= START + e[0] * MINUTE < interval.end for e in EVENTS)
    loaded = [Loaded(interval, count, count - len(seen), {})]
    attempts.note_loaded(connection, attempt, loaded)
    checks = quality_checks.check_staging(connection, odd, attempt)
    assert [check for check in checks if not check.ok] == []
    publish.publish(connection, odd, attempt)


def test_every_view_says_what_it_must(connection: Connection, odd: Contract) -> None:
    assert query(
        connection, "SELECT t, position, opening, final, live, event_count"
        " FROM report.odd_position ORDER BY t"
    ) == [
        ("a", Decimal("1013.75"), 0, Decimal("3.75"), Decimal("1010.00"), 4),
        ("b", Decimal("96.00"), 0, Decimal("96.00"), 0, 2),
    ]  # fmt: skip
    assert query(
        connection, "SELECT t, kind, position, final, live FROM report.odd_position_by_group"
        " ORDER BY t, kind"
    ) == [
        ("a", "x", Decimal("1011.50"), Decimal("1.50"), Decimal("1010.00")),
        ("a", "y", Decimal("2.25"), Decimal("2.25"), 0),
        ("b", "x", Decimal("-4.00"), Decimal("-4.00"), 0),
        ("b", "y", Decimal("100.00"), Decimal("100.00"), 0),
    ]  # fmt: skip
    assert query(connection, "SELECT * FROM report.odd_final_position ORDER BY t") == [
        ("a", Decimal("3.75"), 2, START + 15 * MINUTE),
        ("b", Decimal("96.00"), 2, START + 15 * MINUTE),
    ]
    hour = START.replace(minute=0)
    assert query(connection, "SELECT * FROM report.odd_by_hour ORDER BY event_hour, t, kind") == [
        (hour, "a", "x", Decimal("1.50"), 1),
        (hour, "a", "y", Decimal("2.25"), 1),
        (hour, "b", "x", Decimal("-4.00"), 1),
        (hour, "b", "y", Decimal("100.00"), 1),
    ]
    assert query(
        connection, "SELECT interval_start, interval_end, t, kind, batch_events, batch_count,"
        " flow_events, flow_count, drift_events, drift_count, duplicate_events, duplicate_count,"
        " unexplained_events, unexplained_count FROM report.odd_reconciliation"
        " WHERE t = 'a' AND kind = 'x'"
    ) == [
        (START, START + 5 * MINUTE, "a", "x", Decimal("1.50"), 1, Decimal("3.00"), 2,
         Decimal("-1.50"), -1, Decimal("1.50"), 1, 0, 0),
    ]  # fmt: skip
    assert query(
        connection, "SELECT type, interval_start, is_skipped, events, facts, duplicates"
        " FROM report.interval ORDER BY interval_start"
    ) == [
        ("odd", START, False, 4, 3, 1),
        ("odd", START + 5 * MINUTE, True, 0, 0, 0),
        ("odd", START + 10 * MINUTE, False, 1, 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("minute", "a", "b"),
    [
        (0, None, None),
        (0.5, ("1.50", 1, True), None),
        (4, ("3.75", 2, True), ("-4.00", 1, True)),
        (6.5, ("13.75", 3, False), ("-4.00", 1, False)),
        (12, ("13.75", 3, False), ("96.00", 2, False)),
        (17, ("1013.75", 4, False), ("96.00", 2, False)),
    ],
)
def test_the_position_at_a_time(
    minute: float, a: Any, b: Any, connection: Connection, odd: Contract
) -> None:
    at = START + minute * MINUTE
    rows = query(connection, "SELECT * FROM report.odd_position_at(%s)", at)
    expected = {t: (Decimal(row[0]), *row[1:]) for t, row in (("a", a), ("b", b)) if row}
    assert {row[0]: row[1:] for row in rows} == expected


def test_it_adds_up_and_history_goes_without_a_trace(connection: Connection, odd: Contract) -> None:
    before = query(
        connection, "SELECT t, position, event_count FROM report.odd_position ORDER BY 1"
    )
    assert read(connection, audit.check, odd, ALWAYS).faults == []
    retention.prune(connection, odd, START + timedelta(days=7301))
    month = START + 15 * MINUTE
    assert report.prune(connection, odd, month + timedelta(days=40)) == month
    assert read(connection, audit.check, odd, ALWAYS).faults == []
    rows = query(connection, "SELECT t, position, event_count FROM report.odd_position ORDER BY 1")
    assert rows == before
    assert query(connection, "SELECT sum(rows) FROM report.odd_opening") == [(Decimal("109.75"),)]


def test_names_are_those_that_contracts_are_checked_for(
    connection: Connection, odd: Contract
) -> None:
    """What is made is what two contracts may not both name."""
    made = {name for (name,) in query(
        connection, "SELECT relname FROM pg_class WHERE relnamespace IN"
        " ('report'::regnamespace, 'speed'::regnamespace) AND relname ~ '^odd' AND relkind <> 't'"
        " AND relname !~ '^odd_hourly_.*_key$'"
        " UNION SELECT proname FROM pg_proc WHERE pronamespace = 'report'::regnamespace"
        " AND proname ~ '^odd'"
    )}  # fmt: skip
    names = derived.names(odd)
    assert made == {*names["report"], *names["speed"]}
    for suffix, columns in derived.columns(odd).items():
        name = f"odd_{suffix}" if suffix else "odd"
        if suffix != "position_at":
            assert [column for (column,) in query(
                connection, "SELECT attname FROM pg_attribute"
                f" WHERE attrelid = 'report.{name}'::regclass AND attnum > 0 ORDER BY attnum"
            )] == list(columns), name  # fmt: skip
