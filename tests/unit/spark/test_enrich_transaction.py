"""``schemas/transaction/enrich.sql``: exact conversions, and events without a reference row."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import Row, SparkSession

from tests.support.batches import (
    SCHEMAS,
    START,
    TRANSACTION,
    Place,
    Rate,
    event,
    rates,
    references,
    rows,
)
from watershed.batch.intervals import Interval
from watershed.contracts.query import read_query
from watershed.spark import enrich

QUERY = read_query(SCHEMAS, "transaction")
TODAY = START.date()
ALWAYS = [Interval(START, START + timedelta(days=1))]
CENT = Decimal("0.01")


@pytest.fixture(autouse=True)
def as_in_the_job(spark: SparkSession) -> Iterator[None]:
    spark.conf.set("spark.sql.ansi.enabled", "true")
    yield
    spark.conf.unset("spark.sql.ansi.enabled")


def enriched(spark: SparkSession, fx_rate: list[Rate], *events: dict[str, Any]) -> list[Row]:
    """The query's result in the order of the offsets."""
    view = enrich.events(rows(spark, *events), TRANSACTION, ALWAYS)
    result = enrich.enriched(spark, QUERY, view, references(spark, fx_rate))
    return result.orderBy("kafka_offset").collect()


def test_golden_results(spark: SparkSession) -> None:
    friday, saturday = date(2026, 11, 20), date(2026, 11, 21)
    quotes = [
        *rates([friday], USD="1.16050000", RUB="93.40000000"),
        *[Rate(n, saturday, Decimal(r), friday, s) for n, r, s in [
            ("EUR", "1", "ecb"), ("USD", "1.1605", "ecb"), ("RUB", "93.4", "manual")]],
    ]  # fmt: skip
    late = datetime(2026, 11, 20, 23, 59, 59, 999_000, tzinfo=UTC)
    found = enriched(
        spark, quotes,
        event(1, Place(0), currency="USD", amount=Decimal("-11.61"), branch="SPB", event_time=late),
        event(2, Place(1), currency="EUR", amount=Decimal("0.01"), event_time=late),
        event(3, Place(2), amount=Decimal("100.00"), event_time=late + timedelta(milliseconds=1)),
    )  # fmt: skip
    dollar, euro, rouble = (row.asDict() for row in found)
    assert {key: dollar[key] for key in list(dollar)[-12:]} == {
        "region": "North-West", "city": "Saint Petersburg", "currency_name": "US dollar",
        "eur_rate": Decimal("1.16050000"), "eur_rate_source": "ecb", "eur_rate_date": friday,
        "rub_rate": Decimal("93.40000000"), "rub_rate_source": "ecb", "rub_rate_date": friday,
        "amount_eur": Decimal("-10.00"), "amount_rub": Decimal("-934.40"), "unmatched": None,
    }  # fmt: skip
    assert (euro["amount_eur"], euro["amount_rub"]) == (Decimal("0.01"), Decimal("0.93"))
    assert (rouble["amount_eur"], rouble["amount_rub"]) == (Decimal("1.07"), Decimal("100.00"))
    assert (rouble["rub_rate_source"], rouble["rub_rate_date"]) == ("manual", friday)
    assert rouble["interval_start"] == START.replace(tzinfo=None)
    assert rouble["is_first"]


def test_reference_rows_that_are_missing(spark: SparkSession) -> None:
    found = enriched(
        spark, rates([TODAY], USD="1.25"),
        event(1, Place(0), currency="USD", amount=Decimal("5.00")),
        event(2, Place(1), currency="GBP", branch="Surgut"),
        event(3, Place(2), currency="EUR", event_time=START - timedelta(days=1)),
    )  # fmt: skip
    assert [row.unmatched for row in found] == [
        ["fx_rate"], ["branch", "currency", "fx_rate"], ["fx_rate"]
    ]  # fmt: skip
    assert [row.amount_eur for row in found] == [Decimal("4.00"), None, None]
    assert [row.amount_rub for row in found] == [None, None, None]
    assert [row.region for row in found] == ["Tatarstan", None, "Tatarstan"]
    assert [row.amount for row in found] == [Decimal("5.00"), Decimal("1.00"), Decimal("1.00")]


TIES = [
    ("1.00", "200", "1"),  # exactly half a cent, away from zero
    ("1.00", "200.00000002", "1"),  # less than half by 5e-13: six digits would round it up first
    ("-1.00", "200", "1"),
    ("-1.00", "200.00000002", "1"),
    ("1.00", "2000000000", "10000000"),
    ("1.00", "2000000000.00000001", "10000000"),  # by 5e-21, the least that there is
    ("9999999999999999.99", "1", "1"),
    ("0.01", "9999999999.99999999", "9999999999.99999998"),
]


def test_conversions_round_once(spark: SparkSession) -> None:
    drawn = random.Random(5)
    cases = [(Decimal(amount), Decimal(own), Decimal(rub)) for amount, own, rub in TIES]
    cases += [_drawn(drawn) for _ in range(2000)]
    quotes = [Rate("RUB", day, rub, TODAY) for day, (_, _, rub) in _days(cases)]
    quotes += [Rate("USD", day, own, TODAY) for day, (_, own, _) in _days(cases)]
    events = [
        event(n, Place(n), currency="USD", amount=amount,
              event_time=datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
        for n, (day, (amount, _, _)) in enumerate(_days(cases))
    ]  # fmt: skip
    found = enriched(spark, quotes, *events)
    with localcontext(prec=100):
        for row, (amount, own, rub) in zip(found, cases, strict=True):
            assert row.amount_eur == (amount / own).quantize(CENT, ROUND_HALF_UP), (amount, own)
            in_rub = (amount * rub / own).quantize(CENT, ROUND_HALF_UP)
            assert row.amount_rub == in_rub, (amount, own, rub)


def _days(cases: list[Any]) -> list[tuple[date, Any]]:
    """Each case on a day of its own."""
    return [(TODAY - timedelta(days=n), case) for n, case in enumerate(cases)]


def _drawn(drawn: random.Random) -> tuple[Decimal, Decimal, Decimal]:
    """An amount whose value in EUR is near half a cent, and rates of up to 15 digits."""
    own, rub = (
        Decimal(drawn.randrange(10**6, 10 ** drawn.randrange(7, 16))).scaleb(-8) for _ in "ab"
    )
    amount = own * (2 * drawn.randrange(10**6) + 1) / 200
    return (amount.quantize(CENT) * drawn.choice([1, -1]), own, rub)


def test_amount_that_no_column_holds_is_an_error(spark: SparkSession) -> None:
    quotes = rates([TODAY], RUB="90", USD="0.00000001")
    with pytest.raises(Py4JJavaError, match=r"NUMERIC_VALUE_OUT_OF_RANGE"):
        enriched(spark, quotes, event(1, Place(0), currency="USD", amount=Decimal("1e15")))
