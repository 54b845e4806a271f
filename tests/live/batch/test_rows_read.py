"""The usual questions read what they are about, however long the history is."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from tests.support.report_world import WIDTH, World, some_records
from watershed.batch import facts
from watershed.provision.postgres import ensure_tables
from watershed.settings import Settings
from watershed.stores import postgres
from watershed.stores.postgres import transaction

MONTHS = [datetime(2026, month, 1, tzinfo=UTC) for month in (8, 9, 10)]
UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
"""Of three months, an event every two minutes; but for the last hour they are final by hours."""

EVENTS = 92 * 24 * 30
HISTORY = """
    CREATE TEMPORARY TABLE event ON COMMIT DROP AS SELECT arrival, n,
        (ARRAY['Kazan', 'SPB', 'Surgut'])[n %% 3 + 1] AS branch,
        (ARRAY['RUB', 'USD', 'EUR', 'GBP'])[n %% 4 + 1] AS currency,
        date_trunc('hour', arrival) AS hour, arrival >= %(until)s - interval '1 h' AS is_live
    FROM generate_series(%(first)s, %(until)s - interval '1 s', interval '2 min')
        WITH ORDINALITY AS s (arrival, n);
    INSERT INTO speed.transaction_flow SELECT arrival, branch, currency, 1, 1 FROM event;
    INSERT INTO control.attempt
        (type, start_at, end_at, snapshot, query_sha256, contract_version, run_id)
        VALUES ('transaction', %(first)s, %(until)s, 1, '', 1, '');
    INSERT INTO control.interval (type, start_at, end_at, attempt, events, rows)
        SELECT 'transaction', hour, hour + interval '1 h', attempt, count(*), count(*)
        FROM event CROSS JOIN control.attempt WHERE NOT is_live GROUP BY hour, attempt;
    UPDATE control.stream SET final_from = %(first)s, final_until = (
        SELECT max(end_at) FROM control.interval);
    INSERT INTO report.transaction (transaction_id, event_time, branch, region, currency, amount,
        interval_start, arrival_time, topic_id, kafka_partition, kafka_offset, payload_hash)
        SELECT gen_random_uuid(), arrival - interval '5 s', branch, 'region', currency, 1,
        hour, arrival, 'topic-1', 0, n, n FROM event WHERE NOT is_live ORDER BY n;
    INSERT INTO report.transaction_hourly
        (interval_start, event_hour, branch, currency, event_count)
        SELECT hour, hour, branch, currency, count(*) FROM event WHERE NOT is_live
        GROUP BY hour, branch, currency;
    INSERT INTO report.transaction_interval
        SELECT hour, branch, currency, count(*), count(*), 0, 0, count(*), count(*)
        FROM event WHERE NOT is_live GROUP BY hour, branch, currency;
    UPDATE report.transaction_interval SET batch_value = batch_value + 1
        WHERE (interval_start, branch_name, currency_code) = (%(first)s, 'Kazan', 'EUR');
    INSERT INTO report.transaction_final
        SELECT hour::date, branch, currency, count(*), count(*)
        FROM event WHERE NOT is_live GROUP BY hour::date, branch, currency
"""
VACUUM = """
    VACUUM ANALYZE report.transaction, report.transaction_hourly, report.transaction_interval,
        report.transaction_final, speed.transaction_flow, control.interval
"""
"""What autovacuum does, and publishing for the block index."""

BLOCKS = 5000
"""So many facts lie in the ranges of blocks that a short time is in, at most, and in the last one
of each month, which the index knows nothing of."""

RANGES = 6000
"""Of so many records the facts fill more than two ranges of blocks."""

DRIFT = "SELECT * FROM report.transaction_reconciliation WHERE unexplained_amount <> 0"
QUESTIONS = {
    "TABLE report.open_position": 92 * 12 + 100,
    "SELECT * FROM report.transaction_position_by_group WHERE currency = 'EUR'": 92 * 12 + 100,
    "SELECT * FROM report.open_position_at('2026-10-17 10:17Z')": (92 + 24) * 12 + 100,
    "SELECT event_hour, branch, sum(event_count), sum(amount_eur)"
    " FROM report.transaction_by_hour WHERE event_hour >= '2026-10-31' GROUP BY 1, 2": 24 * 12,
    "SELECT region, currency, count(*), sum(amount), sum(amount_rub) FROM report.transactions"
    " WHERE booked_at >= '2026-10-31' AND region IN ('region') GROUP BY 1, 2": BLOCKS,
    "SELECT * FROM report.transactions"
    " WHERE booked_at >= '2026-09-17 10:00Z' AND booked_at < '2026-09-17 11:00Z'": BLOCKS,
    "SELECT * FROM report.interval WHERE type = 'transaction'"
    " ORDER BY interval_start DESC LIMIT 3": 10,
    DRIFT: 10,
}
"""Each with the most rows that it may read."""

ROWS_READ = """
    SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int
    FROM pg_stat_xact_all_tables
    WHERE schemaname IN ('report', 'report_parts', 'speed', 'control')
"""


@pytest.fixture
def history(database: Settings, world: World) -> World:
    with transaction(world.connection) as cursor:
        for month in MONTHS:
            facts.ensure_part(cursor, world.contract, month)
        cursor.execute(HISTORY, {"first": MONTHS[0], "until": UNTIL})
    with postgres.connect(database) as connection:
        connection.autocommit = True
        connection.cursor().execute(VACUUM)
    return world


def _rows_read(settings: Settings, question: str) -> tuple[int, int]:
    """How many rows a question reads, and how many it answers with."""
    with postgres.connect(settings) as connection:
        cursor = connection.cursor()
        cursor.execute(question)
        answered = cursor.rowcount
        cursor.execute(ROWS_READ)
        return int(cursor.fetchone()[0]), answered  # type: ignore[index]


def test_the_usual_questions_read_little_of_a_long_history(
    database: Settings, history: World
) -> None:
    assert history.query("SELECT count(*) FROM report.transaction") == [(EVENTS - 30,)]
    found = {question: _rows_read(database, question) for question in QUESTIONS}
    assert [question for question, (_, answered) in found.items() if not answered] == []
    assert {
        question: read
        for question, (read, _) in found.items()
        if not 0 < read <= QUESTIONS[question]
    } == {}


def test_a_database_of_an_older_version_is_as_quick_at_once(
    database: Settings, history: World
) -> None:
    """The start that brings statistics of an expression fills them."""
    for number in (0, 1):
        history.query(f"DROP STATISTICS report.transaction_interval_difference_{number}")
    assert _rows_read(database, DRIFT)[0] > QUESTIONS[DRIFT]
    ensure_tables(database, [history.contract])
    assert 0 < _rows_read(database, DRIFT)[0] <= QUESTIONS[DRIFT]


def test_the_block_index_knows_what_is_published(
    database: Settings, world: World, dice: random.Random
) -> None:
    """The first range it knows from the beginning."""
    end = world.clock + WIDTH
    world.arrive(some_records(dice, world.records, world.clock, end, RANGES))
    world.pass_time(end)
    world.finalize()
    assert world.query(
        "SELECT sum(pg_relation_size(inhrelid)) > 2 * 32 * 8192 FROM pg_inherits"
        " WHERE inhparent = 'report.transaction'::regclass"
    ) == [(True,)]
    none = "SELECT FROM report.transaction WHERE event_time < '1990-01-01'"
    assert _rows_read(database, f"SET LOCAL enable_seqscan = off; {none}") == (0, 0)
