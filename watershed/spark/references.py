"""What must hold of reference data before it is kept: keys, rules, and checks between tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import reduce
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from watershed.contracts.references import FILE, FOLDER, CrossCheck, References
from watershed.errors import StoreError
from watershed.spark.sources import run

RULE = "_rule"
SHOWN = 5
"""So many rows are named for each rule that does not hold."""

MOST = 100
"""So many are looked at, of a table and its rules."""


def check(
    spark: SparkSession, references: References, tables: Mapping[str, DataFrame], today: date
) -> None:
    """Raise StoreError with every rule that does not hold, its rows and its remedy.

    ``tables`` has every declared one by its name.
    """
    if broken := _broken(spark, _checks(references), tables, today):
        raise StoreError(
            "the reference data is not as it must be; no snapshot was taken\n"
            + "\n".join(f"  {one.rule}: {_listed(one.rows)}" for one in broken),
            "; ".join(dict.fromkeys(one.remedy for one in broken)) + "; then refresh again",
        )


def warnings(
    spark: SparkSession, references: References, tables: Mapping[str, DataFrame], today: date
) -> list[Broken]:
    """Every warning that is to be given, with its rows."""
    return _broken(spark, references.warnings, tables, today)


class Broken(NamedTuple):
    """A rule that does not hold, and rows that break it, as text."""

    rule: str
    remedy: str
    rows: list[str]

    @property
    def message(self) -> str:
        """What it says in an alert."""
        return f"{self.rule}: {_listed(self.rows)}\n  -> {self.remedy}; then refresh again"


def _broken(
    spark: SparkSession, checks: Iterable[CrossCheck], tables: Mapping[str, DataFrame], today: date
) -> list[Broken]:
    found = [_rows(spark, check, tables, today) for check in checks]
    rows: dict[tuple[str, str], list[str]] = {}
    for rule, remedy, row in reduce(DataFrame.unionByName, found).collect() if found else ():
        rows.setdefault((rule, remedy), []).append(row)
    return [Broken(rule, remedy, some) for (rule, remedy), some in rows.items()]


def _listed(rows: list[str]) -> str:
    more = " and more" if len(rows) > SHOWN else ""
    return "; ".join(sorted(rows)[:SHOWN]) + more


def _checks(references: References) -> Iterator[CrossCheck]:
    """Every rule as a query: of a table's own rules one query, which names the broken ones."""
    for name, table in references.tables.items():
        if not table.may_be_empty:
            empty = f"SELECT 0 AS rows WHERE NOT EXISTS (SELECT * FROM {name})"
            yield CrossCheck(rule=f"{name} has rows", broken=empty, remedy=f"fill {table.where}")
        key, cure = ", ".join(table.key), f"correct {table.where}"
        repeated = f"SELECT {key}, count(*) AS rows FROM {name} GROUP BY {key} HAVING count(*) > 1"
        yield CrossCheck(rule=f"{name}: {key} names one row", broken=repeated, remedy=cure)
        rules = {f"{column} is not null": f"{column} IS NOT NULL" for column in table.key}
        broken = ", ".join(
            f"CASE WHEN NOT coalesce({predicate}, false) THEN {_literal(rule)} END"
            for rule, predicate in (rules | table.rules).items()
        )
        columns = ", ".join(table.columns)
        each = f"SELECT {columns}, explode(array_compact(array({broken}))) AS {RULE} FROM {name}"
        yield CrossCheck(rule=f"{name}: ", broken=each, remedy=cure)
    yield from references.checks


def _literal(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"


def _rows(
    spark: SparkSession, check: CrossCheck, tables: Mapping[str, DataFrame], today: date
) -> DataFrame:
    """The rows that break a rule, as text."""
    found = run(spark, tables, check.broken, today, f"schemas/{FOLDER}/{FILE}: {check.rule}")
    values = [
        F.concat(F.lit(f"{name}="), F.coalesce(F.col(name).cast("string"), F.lit("null")))
        for name in found.columns
        if name != RULE
    ]
    rule = F.concat(F.lit(check.rule), F.col(RULE) if RULE in found.columns else F.lit(""))
    text = F.concat_ws(" ", *values).alias("row")
    return found.select(rule.alias("rule"), F.lit(check.remedy).alias("remedy"), text).limit(MOST)
