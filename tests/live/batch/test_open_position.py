"""What stands beside the open position: limits, how far they are used, how old each half is; and
what transactions say of reference data that has no row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from tests.support.report_world import START, WIDTH, Record, World
from watershed.batch import publish, quality_checks, staging_table

SECOND = timedelta(seconds=1)
MIDDLE, END = START + WIDTH, START + 1.5 * WIDTH
OPENING = ("SPB", "EUR", "-5")
AMOUNTS = {"EUR": (-15, -10), "GBP": (12.34, 0), "JPY": (50, -50), "RUB": (60, 40.01),
           "USD": (-20, -55)}  # fmt: skip
"""What is final and what is live, of Kazan, by currency."""

LIMITS = {"EUR": 30, "JPY": 50, "RUB": 100, "USD": 60}
NAMES = {"EUR": "Euro", "RUB": "Rouble"}


def record(number: int, arrival: datetime, currency: str, amount: float) -> Record:
    return Record(
        arrival, number % 2, 0, UUID(int=number, version=4), "Kazan", currency,
        Decimal(str(amount)), arrival - SECOND, number,
    )  # fmt: skip


@pytest.fixture
def limited(world: World) -> World:
    """An opening balance, an interval that is final and half of one that is live; some
    currencies have limits, some have names."""
    world.query(
        "INSERT INTO report.transaction_opening VALUES (%s, %s, %s, 0, 'entered')", *OPENING
    )
    for currency, limit in LIMITS.items():
        world.query("INSERT INTO reference.position_limit VALUES (%s, %s)", currency, limit)
    for currency, name in NAMES.items():
        world.query("INSERT INTO reference.currency VALUES (%s, %s, 2)", currency, name)
    for half, arrival in enumerate((START, MIDDLE)):
        amounts = enumerate(AMOUNTS.items(), 10 * half)
        world.arrive(record(number, arrival, c, both[half]) for number, (c, both) in amounts)
        world.pass_time(arrival + WIDTH / 2)
    world.finalize()
    return world


def test_the_open_position_has_its_parts_and_its_limit(limited: World) -> None:
    columns = (
        "currency, currency_name, opening, final, live, position, position_limit, usage_percent,"
        " is_breached, transactions"
    )
    above, some = Decimal("100.01"), Decimal("12.34")
    found = limited.query(f"SELECT {columns} FROM report.open_position ORDER BY currency")
    assert found == [
        ("EUR", "Euro", -5, -15, -10, -30, 30, 100, False, 2),  # exactly at the limit
        ("GBP", None, 0, some, 0, some, None, None, None, 2),
        ("JPY", None, 0, 50, -50, 0, 50, 0, False, 2),
        ("RUB", "Rouble", 0, 60, Decimal("40.01"), above, 100, 100, True, 2),
        ("USD", None, 0, -20, -55, -75, 60, 125, True, 2),
    ]
    columns = "branch, opening, final, live, position, event_count"
    of_branches = (
        f"SELECT {columns} FROM report.transaction_position_by_group WHERE currency = 'EUR'"
    )
    assert sorted(limited.query(of_branches)) == [
        ("Kazan", 0, -15, -10, -25, 2),
        ("SPB", -5, 0, 0, -5, 0),
    ]


def test_the_final_position_has_its_own_use_of_the_limit(limited: World) -> None:
    columns = "currency, currency_name, position, position_limit, usage_percent, is_breached"
    query = f"SELECT {columns}, transactions, final_until FROM report.final_position ORDER BY 1"
    assert limited.query(query) == [
        (*row, 1, MIDDLE)
        for row in [
            ("EUR", "Euro", -20, 30, Decimal("66.7"), False),
            ("GBP", None, Decimal("12.34"), None, None, None),
            ("JPY", None, 50, 50, 100, False),  # exactly at the limit
            ("RUB", "Rouble", 60, 100, 60, False),
            ("USD", None, -20, 60, Decimal("33.3"), False),
        ]
    ]
    limited.query("UPDATE reference.position_limit SET limit_amount = 19.99")
    breached = "SELECT currency FROM report.final_position WHERE is_breached ORDER BY 1"
    assert limited.query(breached) == [("EUR",), ("JPY",), ("RUB",), ("USD",)]


def test_each_half_has_its_age(limited: World) -> None:
    """That of the moment at which it is asked; the live half is as old as its oldest partition."""
    limited.arrive([record(20, END + SECOND, "RUB", 1)])
    asked = datetime.now(UTC)
    query = "SELECT DISTINCT final_until, final_age, live_until, live_age FROM report.{}"
    [(published, final_age, live, live_age)] = limited.query(query.format("open_position"))
    answered = datetime.now(UTC)
    assert (published, live) == (MIDDLE, END)
    assert asked <= MIDDLE + final_age <= answered
    assert asked <= END + live_age <= answered


def test_a_half_that_is_not_known_yet_has_no_age(world: World) -> None:
    """Of a partition nothing may be known to be complete: what arrived there may be on its way."""
    world.arrive([record(0, START, "RUB", 1)])
    ages = "SELECT final_until, final_age, live_until, live_age IS NULL FROM report.open_position"
    assert world.query(ages) == [(None, None, None, True)]
    world.pass_time(MIDDLE)
    assert world.query(ages) == [(None, None, MIDDLE, False)]


def test_a_transaction_without_a_rate_is_incomplete(world: World) -> None:
    """Of one event in a hundred that may be published; sums in euros leave it out."""
    placed = world.arrive(record(number, START, "RUB", 1) for number in range(100))
    world.pass_time(MIDDLE)
    attempt = world.begin()
    world.load(attempt)
    without = placed[17].id
    world.query(
        f"UPDATE staging.{staging_table.name(attempt)} SET unmatched = '{{fx_rate}}',"
        " amount_eur = NULL WHERE transaction_id = %s", without,
    )  # fmt: skip
    world.query("UPDATE control.attempt_interval SET unmatched = '{\"fx_rate\": 1}'")
    assert all(
        one.ok for one in quality_checks.check_staging(world.connection, world.contract, attempt)
    )
    publish.publish(world.connection, world.contract, attempt)
    incomplete = "SELECT is_incomplete, transaction_id, amount_eur FROM report.transactions"
    found = sorted(world.query(incomplete))
    assert [row[0] for row in found] == [False] * 99 + [True]
    assert found[-1] == (True, without, None)
    assert world.query("SELECT amount, amount_eur, event_count FROM report.transaction_by_hour"
                       ) == [(100, 198, 100)]  # fmt: skip
    assert world.query("SELECT unmatched FROM report.interval") == [({"fx_rate": 1},)]
