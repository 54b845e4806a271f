"""Old history goes; the open position does not notice."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg2
import pytest

from tests.support.dying import dies
from tests.support.report_ledger import Ledger
from tests.support.report_world import START, WIDTH, WIDTH_S, World, some_records
from watershed.batch import attempts, report
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.errors import IntervalError
from watershed.settings import Settings
from watershed.speed import flow, retention
from watershed.timestamps import floored

HOUR = timedelta(hours=1)
MONTH = START + 2 * HOUR
"""The month begins two hours after START."""

LONG_AFTER = MONTH + 6 * HOUR
POSITION = "SELECT currency, position, transactions FROM report.open_position ORDER BY 1"
AT = "SELECT currency, position, transactions FROM report.open_position_at('{}') ORDER BY 1"
BY_BRANCH = (
    "SELECT branch, currency, position FROM report.transaction_position_by_group ORDER BY 1, 2"
)


@pytest.fixture
def published(world: World, ledger: Ledger, dice: random.Random) -> World:
    """Four hours, two of them before a month begins, but for the last ten minutes final; two
    intervals skipped, one in each month; a balance that was entered."""
    world.query(
        "INSERT INTO report.transaction_opening VALUES ('Kazan', 'RUB', 1000.5, 0, 'entered')"
    )
    for skipped in (START + 4 * WIDTH, MONTH + 20 * WIDTH, START + 4 * HOUR):
        while world.clock <= min(skipped, START + 4 * HOUR - WIDTH):
            end = world.clock + 20 * WIDTH / 5
            records = some_records(dice, world.records, world.clock, end, 12)
            if skipped < end:  # chance leaves some intervals empty: not this one
                records += some_records(dice, world.records, skipped, skipped + WIDTH, 1)
            world.arrive(records)
            world.pass_time(end)
        if skipped < START + 4 * HOUR:
            for interval in world.finalize(Interval(_until(world), skipped)).intervals:
                ledger.publish(interval)
            one = Interval(skipped, skipped + WIDTH)
            world.skip(one)
            ledger.skip(one)
    for interval in world.finalize(Interval(_until(world), START + 4 * HOUR - 2 * WIDTH)).intervals:
        ledger.publish(interval)
    return world


def _until(world: World) -> Any:
    found = world.pending()
    assert found is not None
    return found.start


def _rows(world: World) -> dict[str, Any]:
    """What reports say of all that arrived from MONTH on, and the position."""
    return {
        name: world.query(query)
        for name, query in {
            "position": POSITION,
            "by_branch": BY_BRANCH,
            "facts": f"SELECT * FROM report.transaction WHERE interval_start >= '{MONTH}'"
            " ORDER BY kafka_partition, kafka_offset",
            "intervals": "SELECT * FROM report.transaction_interval"
            f" WHERE interval_start >= '{MONTH}' ORDER BY 1, 2, 3",
            "ledger": f"SELECT * FROM control.interval WHERE start_at >= '{MONTH}' ORDER BY 2",
            "at the start": AT.format(MONTH),
            "at": AT.format(MONTH + 1.23 * HOUR),
        }.items()
    }


def test_pruned_history_is_in_the_opening_balance(published: World) -> None:
    before = _rows(published)
    connection, contract = published.connection, published.contract
    assert report.prune(connection, contract, MONTH + HOUR / 2) is None  # the lookback stays
    assert _rows(published) == before
    assert report.prune(connection, contract, LONG_AFTER) == MONTH
    assert report.prune(connection, contract, LONG_AFTER) is None
    assert _rows(published) == before
    for table, column in {
        "report.transaction": "interval_start",
        "report.transaction_interval": "interval_start",
        "report.transaction_hourly": "interval_start",
        "report.transaction_final": "arrival_day",
        "control.interval": "start_at",
        "control.attempt": "end_at",
    }.items():
        [(first,)] = published.query(f"SELECT min({column})::timestamptz FROM {table}")
        assert first >= MONTH, table
    assert published.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'report_parts'") == [
        (1,)
    ]
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="was pruned"):
        published.query("SELECT * FROM report.open_position_at(%s)", MONTH - WIDTH)
    assert published.query(
        "SELECT batch_value FROM report.transaction_opening WHERE note = 'entered'"
    ) == [(Decimal("1000.50"),)]


def test_what_follows_pruned_history_becomes_final_as_before(
    published: World, ledger: Ledger
) -> None:
    """Only what may repeat an event that is gone cannot be published again."""
    before = ledger.position_found()
    report.prune(published.connection, published.contract, LONG_AFTER)
    with pytest.raises(IntervalError, match="or facts that they may repeat were pruned"):
        published.begin(Interval(MONTH, MONTH + WIDTH))
    with pytest.raises(IntervalError, match="where the ledger begins"):
        published.begin(Interval(START, START + WIDTH))
    published.finalize(Interval(MONTH + HOUR, MONTH + HOUR + 3 * WIDTH))
    assert ledger.position_found() == before
    for interval in published.finalize().intervals:
        ledger.publish(interval)
    expected = ledger.position()
    value, events = expected["RUB"]
    expected["RUB"] = value + Decimal("1000.5"), events
    assert ledger.position_found() == expected


def test_an_attempt_that_history_was_pruned_under(published: World) -> None:
    attempt = published.begin(Interval(START, START + WIDTH))
    published.load(attempt)
    report.prune(published.connection, published.contract, LONG_AFTER)
    assert published.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'staging'") == [(0,)]
    with pytest.raises(attempts.AttemptError, match="there is no attempt"):
        published.read(attempts.read, attempt.attempt)


def test_pruning_may_be_killed_at_every_step(
    database: Settings, published: World, contract: Contract
) -> None:
    before = _rows(published)
    prune = partial(report.prune, contract=contract, before=LONG_AFTER)
    killed = 0
    while dies(database, published, killed + 1, prune):
        killed += 1
        assert _rows(published) == before
        [(from_,)] = published.query("SELECT final_from FROM control.stream")
        [(facts,)] = published.query("SELECT min(interval_start) FROM report.transaction")
        assert (from_ == MONTH) == (facts >= MONTH)
    assert killed > 10
    assert _rows(published) == before


def test_the_flow_is_pruned_where_it_is_final(published: World, ledger: Ledger) -> None:
    """Of what is skipped, or not final, it is the only copy of the sums."""
    age = published.contract.retention.model_copy(update={"ttl_days": 1})
    contract = published.contract.model_copy(update={"retention": age})
    before = _rows(published)
    retention.prune(published.connection, contract, START + timedelta(days=1) + 2.01 * HOUR)
    assert _rows(published) == before
    assert _windows(published, START, MONTH) == {START + 4 * WIDTH}
    assert len(_windows(published, MONTH, START + 4 * HOUR)) > 15
    retention.prune(published.connection, contract, START + timedelta(days=9))
    assert _rows(published) == before
    assert _windows(published, START, START + 4 * HOUR - 2 * WIDTH) == {
        START + 4 * WIDTH,
        MONTH + 20 * WIDTH,
    }
    assert _windows(published, START + 4 * HOUR - 2 * WIDTH, START + 9 * HOUR)
    report.prune(published.connection, contract, LONG_AFTER)
    assert _rows(published) == before
    retention.prune(published.connection, contract, START + timedelta(days=9))
    assert _windows(published, START, MONTH) == set()
    assert _rows(published) == before


def _windows(world: World, start: Any, end: Any) -> set[Any]:
    """The intervals that the flow has windows of."""
    rows = world.query(
        "SELECT DISTINCT curr_time FROM speed.transaction_flow"
        " WHERE curr_time >= %s AND curr_time < %s", start, end,
    )  # fmt: skip
    return {floored(window, WIDTH_S) for (window,) in rows}


def test_the_flow_of_a_contract_without_a_report_is_pruned(published: World) -> None:
    contract = published.contract.model_copy(update={"report": None})
    before = _windows(published, START, LONG_AFTER)
    published.read(flow.prune, contract, START + HOUR)
    left = {window for window in before if window >= START + HOUR}
    assert _windows(published, START, LONG_AFTER) == left < before
