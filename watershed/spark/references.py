"""What must hold of reference data before it is kept: keys, rules, and checks between tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import reduce

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from watershed.contracts.references import FILE, FOLDER, CrossCheck, Reference, References
from watershed.errors import ContractError, StoreError

RULE = "_rule"
SHOWN = 5
"""So many rows are named for each rule that does not hold."""

MOST = 100
"""So many are looked at, of a table and its rules."""


def typed(frame: DataFrame, reference: Reference) -> DataFrame:
    """The declared columns, with their types. Raises StoreError for one that is not there."""
    if missing := [name for name in reference.columns if name not in frame.columns]:
        raise StoreError(
            f"{reference.place} has no column {', '.join(missing)}",
            f"add it there, or take it out of schemas/{FOLDER}/{FILE}",
        )
    return frame.select(*(F.col(name).cast(kind) for name, kind in reference.columns.items()))


def check(
    spark: SparkSession, references: References, tables: Mapping[str, DataFrame], today: date
) -> None:
    """Raise StoreError with every rule that does not hold, its rows and its remedy.

    ``tables`` has every declared one by its name.
    """
    for name, frame in tables.items():
        frame.createOrReplaceTempView(name)
    broken = [_rows(spark, one, today) for one in _checks(references)]
    rows: dict[tuple[str, str], list[str]] = {}
    for rule, remedy, row in reduce(DataFrame.unionByName, broken).collect():
        rows.setdefault((rule, remedy), []).append(row)
    if rows:
        raise StoreError(
            "the reference data is not as it must be; no snapshot was taken\n"
            + "\n".join(f"  {rule}: {_listed(some)}" for (rule, _), some in rows.items()),
            "; ".join(dict.fromkeys(remedy for _, remedy in rows)) + "; then refresh again",
        )


def _listed(rows: list[str]) -> str:
    more = " and more" if len(rows) > SHOWN else ""
    return "; ".join(sorted(rows)[:SHOWN]) + more


def _checks(references: References) -> Iterator[CrossCheck]:
    """Every rule as a query: of a table's own rules one query, which names the broken ones."""
    for name, one in references.tables.items():
        if not one.may_be_empty:
            empty = f"SELECT 0 AS rows WHERE NOT EXISTS (SELECT * FROM {name})"
            yield CrossCheck(rule=f"{name} has rows", broken=empty, remedy=f"fill {one.place}")
        key, cure = ", ".join(one.key), f"correct {one.place}"
        repeated = f"SELECT {key}, count(*) AS rows FROM {name} GROUP BY {key} HAVING count(*) > 1"
        yield CrossCheck(rule=f"{name}: {key} names one row", broken=repeated, remedy=cure)
        rules = {f"{column} is not null": f"{column} IS NOT NULL" for column in one.key}
        broken = ", ".join(
            f"CASE WHEN NOT coalesce({predicate}, false) THEN {_literal(rule)} END"
            for rule, predicate in (rules | one.rules).items()
        )
        columns = ", ".join(one.columns)
        each = f"SELECT {columns}, explode(array_compact(array({broken}))) AS {RULE} FROM {name}"
        yield CrossCheck(rule=f"{name}: ", broken=each, remedy=cure)
    yield from references.checks


def _literal(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"


def _rows(spark: SparkSession, check: CrossCheck, today: date) -> DataFrame:
    """The rows that break a rule, as text."""
    try:
        found = spark.sql(check.broken, args={"today": today})
    except AnalysisException as error:
        raise ContractError(
            f"schemas/{FOLDER}/{FILE}: {check.rule}: {str(error).splitlines()[0]}", "correct it"
        ) from None
    values = [
        F.concat(F.lit(f"{name}="), F.coalesce(F.col(name).cast("string"), F.lit("null")))
        for name in found.columns
        if name != RULE
    ]
    rule = F.concat(F.lit(check.rule), F.col(RULE) if RULE in found.columns else F.lit(""))
    text = F.concat_ws(" ", *values).alias("row")
    return found.select(rule.alias("rule"), F.lit(check.remedy).alias("remedy"), text).limit(MOST)
