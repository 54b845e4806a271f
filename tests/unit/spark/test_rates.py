"""Exchange rates: the bank's table, and one rate for each day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from zipfile import ZipFile

import currency_converter
import pytest
from pyspark.sql import SparkSession

from watershed.errors import StoreError
from watershed.spark import rates

ECB = "currency string, day date, per_eur decimal(18,8)"
MANUAL = f"{ECB}, source string"
UNTIL = date(2022, 3, 6)
TABLE = """\
Date,USD,RUB,EEK,
2022-03-02,1.1106,N/A,N/A,
2022-03-01,1.1162,117.201,N/A,
"""


def march(day: int) -> date:
    return date(2022, 3, day)


def daily(
    spark: SparkSession,
    ecb: list[tuple[str, date, Decimal]],
    manual: list[tuple[str, date, Decimal, str]],
    *currencies: str,
) -> list[tuple[str, str, str, str, str]]:
    """The rates as text, in order of currency and day."""
    known = spark.createDataFrame([(name,) for name in currencies], "currency string")
    made = rates.daily(
        spark.createDataFrame(ecb, ECB), spark.createDataFrame(manual, MANUAL), known, UNTIL
    )
    ordered = made.sort("currency", "day").collect()
    return [
        (row.currency, str(row.day.day), f"{row.per_eur:.2f}", str(row.rate_date.day), row.source)
        for row in ordered
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
        ("RUB", march(9), Decimal("130"), "by hand"),  # later than is asked for
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


def test_the_day_of_each_quote(spark: SparkSession) -> None:
    bank = [("USD", march(2), Decimal("1.11")), ("USD", march(6), Decimal("1.12"))]
    known = spark.createDataFrame([("USD",), ("EUR",)], "currency string")
    made = rates.daily(
        spark.createDataFrame(bank, ECB), spark.createDataFrame([], MANUAL), known, UNTIL
    )
    assert rates.quoted_on(made, march(5)) == {"USD": march(2), "EUR": march(5)}


def test_rates_that_nobody_has_renewed_are_named() -> None:
    today = date(2026, 11, 25)
    quoted = {"USD": date(2026, 10, 30), "EUR": today, "GBP": today - rates.OLD_AFTER}
    assert rates.outdated(quoted, today) is None
    found = rates.outdated({**quoted, "RUB": date(2026, 10, 1), "KZT": date(2025, 1, 1)}, today)
    assert found is not None
    first, remedy = found.split("\n")
    assert first == "the newest rates are older than 45 days: KZT of 2025-01-01, RUB of 2026-10-01"
    assert "reference.fx_manual" in remedy
    assert "./ws lock" in remedy


def archive(folder: Path, table: str = TABLE) -> Path:
    path = folder / "eurofxref-hist.zip"
    with ZipFile(path, "w") as packed:
        packed.writestr("eurofxref-hist.csv", table)
    return path


def test_the_banks_table_is_read(tmp_path: Path) -> None:
    assert list(rates.quotes(archive(tmp_path))) == [
        ("USD", "2022-03-02", "1.1106"),
        ("USD", "2022-03-01", "1.1162"),
        ("RUB", "2022-03-01", "117.201"),
    ]


def test_the_table_that_is_shipped() -> None:
    quotes = list(rates.quotes(Path(currency_converter.CURRENCY_FILE)))
    days = {
        name: [day for currency, day, _ in quotes if currency == name] for name in ("USD", "RUB")
    }
    assert min(days["USD"]) == "1999-01-04"
    assert max(days["RUB"]) == "2022-03-01"
    assert len(quotes) > 200_000


def test_the_lake_has_each_history_once(spark: SparkSession, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with pytest.raises(StoreError, match="no rates of the European Central Bank"):
        rates.newest_history(lake)
    for table in (TABLE, TABLE, TABLE.replace("1.1106", "none")):
        rates.fill_lake(spark, lake, archive(tmp_path, table), tmp_path / "scratch")
    folder = rates.newest_history(lake)
    assert folder.name == "until=2022-03-02"
    rows = spark.read.parquet(str(folder)).sort("currency", "day").collect()
    assert [tuple(row) for row in rows] == [
        ("RUB", march(1), Decimal("117.20100000")),
        ("USD", march(1), Decimal("1.11620000")),
        ("USD", march(2), Decimal("1.11060000")),
    ]
    assert list((tmp_path / "scratch").iterdir()) == []
    later = TABLE.replace("2022-03-02,1.1106", "2022-03-03,none")
    rates.fill_lake(spark, lake, archive(tmp_path, later), tmp_path / "scratch")
    assert rates.newest_history(lake).name == "until=2022-03-03"
    assert spark.read.parquet(str(rates.newest_history(lake))).where("per_eur IS NULL").count() == 1
