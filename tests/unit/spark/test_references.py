"""The rules of ``schemas/reference/references.yaml``: each names the row that breaks it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from watershed.contracts.references import load_references
from watershed.errors import ContractError, StoreError
from watershed.spark import references
from watershed.spark.content import content
from watershed.stack.home import ROOT

DECLARED = load_references(ROOT / "schemas")
TODAY = date(2026, 11, 25)
RATE = Decimal("90.50000000")
GOOD: dict[str, list[tuple[Any, ...]]] = {
    "branch": [("Kazan", "Volga", "Kazan", date(2004, 3, 15))],
    "position_limit": [("RUB", Decimal("50000.00"))],
    "currency": [("RUB", "Russian rouble", 2)],
    "fx_manual": [("RUB", TODAY, RATE, "by hand", "me", None)],
    "fx_rate_ecb": [("RUB", date(2022, 3, 1), RATE)],
    "fx_rate": [("RUB", TODAY, RATE, TODAY, "by hand")],
}


def tables(spark: SparkSession, **changed: list[tuple[Any, ...]]) -> dict[str, DataFrame]:
    return {
        name: spark.createDataFrame(
            (GOOD | changed)[name], ", ".join(f"{n} {kind}" for n, kind in table.columns.items())
        )
        for name, table in DECLARED.tables.items()
    }


def refused(spark: SparkSession, **changed: list[tuple[Any, ...]]) -> StoreError:
    with pytest.raises(StoreError) as error:
        references.check(spark, DECLARED, tables(spark, **changed), TODAY)
    return error.value


def test_good_data_passes(spark: SparkSession) -> None:
    references.check(spark, DECLARED, tables(spark, fx_manual=[]), TODAY)


def test_every_mistake_is_named_with_its_row(spark: SparkSession) -> None:
    branch = [
        ("Kazan", "Volga", "Kazan", date(2004, 3, 15)),
        ("Kazan", "Volga", " ", date(2004, 3, 15)),
        (None, "Volga", "Perm", date(2004, 3, 15)),
        ("Omsk", "Siberia", "Omsk", date(2204, 1, 1)),
    ]
    error = refused(spark, branch=branch)
    assert error.cause.splitlines() == [
        "the reference data is not as it must be; no snapshot was taken",
        "  branch: branch names one row: branch=Kazan rows=2",
        "  branch: region and city are not empty:"
        " branch=Kazan region=Volga city=  opened=2004-03-15",
        "  branch: branch is not null: branch=null region=Volga city=Perm opened=2004-03-15",
        "  branch: opened is between 1800 and a year from now:"
        " branch=Omsk region=Siberia city=Omsk opened=2204-01-01",
    ]
    assert error.remedy == "correct PostgreSQL reference.branch; then refresh again"


def test_each_rule(spark: SparkSession) -> None:
    day = TODAY + timedelta(days=32)
    error = refused(
        spark,
        branch=[],
        currency=[("rub", "Rouble", 2), ("USD", None, 2), ("GBP", "Pound", 9)],
        position_limit=[("USD", Decimal(0)), ("GBP", None)],
        fx_manual=[
            ("USD", TODAY, -RATE, "x", "me", None),
            ("GBP", TODAY, RATE, "ecb", "me", None),
            ("RUB", day, RATE, "x", "me", None),
        ],
        fx_rate_ecb=[("RUB", TODAY, None)],
        fx_rate=[(name, TODAY, RATE, day, "x") for name in ("rub", "USD", "GBP")],
    )
    assert [line.strip() for line in error.cause.splitlines()[1:]] == [
        "branch has rows: rows=0",
        "position_limit: the limit is more than 0:"
        " currency=GBP limit_amount=null; currency=USD limit_amount=0.00",
        "currency: the code is three capital letters: currency=rub name=Rouble minor_units=2",
        "currency: the name is not empty: currency=USD name=null minor_units=2",
        "currency: minor_units is between 0 and 4: currency=GBP name=Pound minor_units=9",
        "fx_manual: the rate is more than 0: currency=USD day=2026-11-25 per_eur=-90.50000000"
        " source=x entered_by=me note=null",
        "fx_manual: the source says where it is from: currency=GBP day=2026-11-25"
        " per_eur=90.50000000 source=ecb entered_by=me note=null",
        "fx_manual: the day is between 1999 and a month from now: currency=RUB day=2026-12-27"
        " per_eur=90.50000000 source=x entered_by=me note=null",
        "fx_rate_ecb: the rate is more than 0: currency=RUB day=2026-11-25 per_eur=null",
        "fx_rate: the quote is not of a later day: currency=GBP day=2026-11-25"
        " per_eur=90.50000000 rate_date=2026-12-27 source=x; currency=USD day=2026-11-25"
        " per_eur=90.50000000 rate_date=2026-12-27 source=x; currency=rub day=2026-11-25"
        " per_eur=90.50000000 rate_date=2026-12-27 source=x",
    ]


def test_a_currency_without_a_rate_for_today(spark: SparkSession) -> None:
    yesterday = TODAY - timedelta(days=1)
    error = refused(spark, fx_rate=[("RUB", yesterday, RATE, yesterday, "by hand")])
    assert "every currency has a rate for today: currency=RUB" in error.cause
    assert error.remedy.startswith("enter one in PostgreSQL's reference.fx_manual")


def test_a_limit_of_no_currency(spark: SparkSession) -> None:
    error = refused(spark, position_limit=[("JPY", Decimal(1))])
    assert "every limit is of a currency that there is: currency=JPY" in error.cause


def test_many_broken_rows_are_not_all_shown(spark: SparkSession) -> None:
    rows = [(f"b{number}", "", "", date(2004, 3, 15)) for number in range(9)]
    shown = refused(spark, branch=rows).cause
    assert shown.count("region=") == references.SHOWN
    assert shown.endswith(" and more")


def test_a_rule_that_is_no_sql_is_named(spark: SparkSession) -> None:
    branch = DECLARED.tables["branch"].model_copy(update={"rules": {"it's one": "nonsense > 0"}})
    changed = DECLARED.model_copy(update={"tables": DECLARED.tables | {"branch": branch}})
    with pytest.raises(ContractError, match=r"references\.yaml: branch"):
        references.check(spark, changed, tables(spark), TODAY)


def test_a_checksum_is_of_rows_in_any_order(spark: SparkSession) -> None:
    def of(*rows: tuple[str | None, str | None]) -> str:
        return content(spark.createDataFrame(list(rows), "a string, b string")).checksum

    one, two = ("a", None), ("b", "c")
    assert of(one, two) == of(two, one)
    assert of(one, two) != of(one, two, two)
    assert of(one) != of((None, "a"))
    assert of(one, one) != of()
    assert content(spark.createDataFrame([], "a string")) == (0, "0" * 16)
