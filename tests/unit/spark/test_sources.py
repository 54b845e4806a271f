"""Reference tables that are files, and queries over other tables."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from pyspark.sql import DataFrame, SparkSession

from watershed.contracts.references import Reference, load_references
from watershed.errors import ContractError, StoreError
from watershed.settings import Settings
from watershed.spark import sources
from watershed.stack.home import ROOT

TODAY = date(2026, 11, 25)
TABLE = """\
Date,USD,RUB,EEK,
2022-03-02,1.1106,N/A,N/A,
2022-03-01,1.1162,117.201,none,
"""
UNPIVOT = {"names": "currency", "values": "per_eur", "by": {"day": "Date"}}
RATES = {"currency": "string", "day": "date", "per_eur": "decimal(18,8)"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "schemas" / "reference").mkdir(parents=True)
    return Settings(schemas_dir=tmp_path / "schemas", lake_dir=tmp_path / "lake")


def read(
    spark: SparkSession, settings: Settings, tables: dict[str, DataFrame] | None = None, **keys: Any
) -> list[tuple[Any, ...]]:
    declared = Reference.model_validate({"key": [next(iter(keys["columns"]))], **keys})
    scratch = settings.lake_dir.parent / "scratch"
    frame = sources.read(spark, settings, declared, tables or {}, scratch, TODAY)
    return sorted((tuple(row) for row in frame.collect()), key=str)


def test_parquet_in_the_lake_and_beside_the_declaration(
    spark: SparkSession, settings: Settings
) -> None:
    rows = [("FI", "Finland", 3), ("SE", "Sweden", 4)]
    frame = spark.createDataFrame(rows, "a string, b string, c int")
    beside = settings.schemas_dir / "reference" / "country.parquet"
    for path in (settings.lake_dir / "country" / "of=2026", beside):
        frame.write.parquet(str(path))
    columns = {"a": "string", "c": "int"}
    expected = [("FI", 3), ("SE", 4)]
    for path in ("lake:country/of=2026", "country.parquet"):
        assert read(spark, settings, store="parquet", path=path, columns=columns) == expected
    with pytest.raises(StoreError, match=r"lake:towns cannot be read: .*\n.*put it at"):
        read(spark, settings, store="parquet", path="lake:towns", columns=columns)
    with pytest.raises(StoreError, match=r"country\.parquet has no column d\n"):
        read(spark, settings, store="parquet", path="country.parquet", columns={"d": "int"})


def test_a_column_per_thing_becomes_rows(spark: SparkSession, settings: Settings) -> None:
    folder = settings.schemas_dir / "reference"
    (folder / "rates.csv").write_text(TABLE)
    with ZipFile(folder / "rates.zip", "w") as packed:
        packed.writestr("rates.csv", TABLE)
    keys = {"store": "csv", "unpivot": UNPIVOT, "nulls": "N/A", "columns": RATES}
    for path in ("rates.csv", "rates.zip"):
        assert read(spark, settings, path=path, **keys) == [
            ("EEK", date(2022, 3, 1), None),  # no number: for a rule to name
            ("RUB", date(2022, 3, 1), Decimal("117.20100000")),
            ("USD", date(2022, 3, 1), Decimal("1.11620000")),
            ("USD", date(2022, 3, 2), Decimal("1.11060000")),
        ]
    (folder / "rates.csv").write_text(TABLE.replace("Date", "Day"))
    with pytest.raises(StoreError, match=r"rates\.csv has no column Date"):
        read(spark, settings, path="rates.csv", **keys)
    with pytest.raises(StoreError, match=r"others\.zip cannot be read"):
        read(spark, settings, path="others.zip", **keys)


def test_a_file_of_rows(spark: SparkSession, settings: Settings) -> None:
    (settings.schemas_dir / "reference" / "names.csv").write_text('id,name\n1,"a, b"\n2,\n')
    columns = {"id": "int", "name": "string"}
    assert read(spark, settings, store="csv", path="names.csv", columns=columns) == [
        (1, "a, b"),
        (2, None),
    ]


def test_the_banks_archive(spark: SparkSession, tmp_path: Path) -> None:
    declared = load_references(ROOT / "schemas").tables["fx_rate_ecb"]
    settings = Settings(schemas_dir=ROOT / "schemas")
    rates = sources.read(spark, settings, declared, {}, tmp_path, TODAY)
    of = {name: rates.where(f"currency = '{name}'") for name in ("USD", "RUB")}
    assert of["USD"].agg({"day": "min"}).first()[0] == date(1999, 1, 4)  # type: ignore[index]
    assert of["RUB"].agg({"day": "max"}).first()[0] == date(2022, 3, 1)  # type: ignore[index]
    assert rates.count() > 200_000
    assert rates.where("per_eur IS NULL OR day IS NULL OR currency IS NULL").count() == 0


def test_a_package_that_is_not_there(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(StoreError, match="there is no package no_such_thing"):
        read(spark, settings, store="csv", path="package:no_such_thing/a.csv", columns=RATES)


def test_a_query_over_other_tables(spark: SparkSession, settings: Settings) -> None:
    path = settings.schemas_dir / "reference" / "busy.sql"
    path.write_text("SELECT a, :today AS day FROM one WHERE a > 1")
    tables = {"one": spark.createDataFrame([(1,), (2,)], "a int")}
    keys = {"store": "sql", "path": "busy.sql", "columns": {"a": "int", "day": "date"}}
    assert read(spark, settings, tables, **keys) == [(2, TODAY)]
    path.write_text("SELECT a, :today AS day FROM nowhere")
    with pytest.raises(ContractError, match=r"schemas/reference/busy\.sql: .*nowhere"):
        read(spark, settings, tables, **keys)
