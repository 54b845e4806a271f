"""``schemas/reference/fx_rate.sql``: one rate for each currency and day."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from pyspark.sql import SparkSession

from watershed.contracts.references import load_references
from watershed.spark import references, sources
from watershed.stack.home import ROOT

ECB = "currency string, day date, per_eur decimal(18,8)"
MANUAL = f"{ECB}, source string"
QUERY = (ROOT / "schemas" / "reference" / "fx_rate.sql").read_text()
UNTIL = date(2022, 3, 6)
TODAY = UNTIL - timedelta(days=31)
"""Rates go on for a month."""


def march(day: int) -> date:
    return date(2022, 3, day)


def daily(
    spark: SparkSession,
    ecb: list[tuple[str, date, Decimal]],
    manual: list[tuple[str, date, Decimal, str]],
    *currencies: str,
) -> list[tuple[str, str, str, str, str]]:
    """The rates as text, in order of currency and day."""
    tables = {
        "currency": spark.createDataFrame([(name,) for name in currencies], "currency string"),
        "fx_rate_ecb": spark.createDataFrame(ecb, ECB),
        "fx_manual": spark.createDataFrame(manual, MANUAL),
    }
    made = sources.run(spark, tables, QUERY, TODAY, "fx_rate.sql").sort("currency", "day")
    return [
        (row.currency, str(row.day.day), f"{row.per_eur:.2f}", str(row.rate_date.day), row.source)
        for row in made.collect()
    ]


def test_a_quote_stands_until_the_next_one(spark: SparkSession) -> None:
    quotes = [("USD", march(2), Decimal("1.11")), ("USD", march(5), Decimal("1.12"))]
    assert daily(spark, quotes, [], "USD") == [
        ("USD", "2", "1.11", "2", "ecb"),
        ("USD", "3", "1.11", "2", "ecb"),
        ("USD", "4", "1.11", "2", "ecb"),
        ("USD", "5", "1.12", "5", "ecb"),
        ("USD", "6", "1.12", "5", "ecb"),
    ]


def test_entered_rates_follow_what_the_bank_no_longer_quotes(spark: SparkSession) -> None:
    bank = [("RUB", march(1), Decimal("117.201"))]
    entered = [
        ("RUB", march(1), Decimal("1"), "by hand"),  # the bank's stands, for the same day
        ("RUB", march(4), Decimal("120"), "by hand"),
        ("RUB", march(9), Decimal("130"), "by hand"),  # later than a month from now
    ]
    assert daily(spark, bank, entered, "RUB") == [
        ("RUB", "1", "117.20", "1", "ecb"),
        ("RUB", "2", "117.20", "1", "ecb"),
        ("RUB", "3", "117.20", "1", "ecb"),
        ("RUB", "4", "120.00", "4", "by hand"),
        ("RUB", "5", "120.00", "4", "by hand"),
        ("RUB", "6", "120.00", "4", "by hand"),
    ]


def test_currencies_that_the_treasury_has(spark: SparkSession) -> None:
    bank = [(name, march(6), Decimal("2")) for name in ("USD", "GBP")]
    assert daily(spark, bank, [], "GBP", "JPY") == [("GBP", "6", "2.00", "6", "ecb")]


def test_the_euro_is_one(spark: SparkSession) -> None:
    wrong = [("EUR", march(1), Decimal("7"), "by hand")]
    made = daily(spark, [], wrong, "EUR")
    assert len(made) == (UNTIL - date(1999, 1, 1)).days + 1
    assert made[-1] == ("EUR", "6", "1.00", "6", "definition")
    assert {(row[2], row[4]) for row in made} == {("1.00", "definition")}


def test_rates_that_nobody_has_renewed_are_named(spark: SparkSession) -> None:
    declared = load_references(ROOT / "schemas")

    def warned(**quoted: date) -> list[references.Broken]:
        rows = [(name, TODAY, day) for name, day in quoted.items()]
        rates = spark.createDataFrame(rows, "currency string, day date, rate_date date")
        return references.warnings(spark, declared, {"fx_rate": rates}, TODAY)

    oldest = TODAY - timedelta(days=45)
    assert warned(EUR=TODAY, GBP=oldest) == []
    [warning] = warned(EUR=TODAY, GBP=oldest, RUB=oldest - timedelta(days=1), KZT=march(1))
    first, remedy = warning.message.split("\n")
    assert first == (
        "the newest rate of a currency is at most 45 days old: currency=RUB rate_date=2021-12-19"
    )
    assert "reference.fx_manual" in remedy
    assert "./ws lock" in remedy
