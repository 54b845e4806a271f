"""Raw rows and reference data for the tests of enrichments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from pyspark.sql import DataFrame, SparkSession

from watershed.contracts.load import load_contract
from watershed.spark.types import event_type
from watershed.stack.home import ROOT

SCHEMAS = ROOT / "schemas"
TRANSACTION = load_contract(SCHEMAS / "transaction" / "contract.yaml")
START = datetime(2026, 11, 20, 10, tzinfo=UTC)

RAW = "topic_id string, kafka_partition int, kafka_offset bigint, kafka_time timestamp,"
RAW += " arrival_time timestamp, "


class Place(NamedTuple):
    """Where Kafka put an event, and when it arrived: seconds after START."""

    offset: int
    partition: int = 0
    topic_id: str = "one"
    second: float = 0


def event(name: int, place: Place, **fields: Any) -> dict[str, Any]:
    """A raw row; its id is made from ``name``."""
    arrived = START + timedelta(seconds=place.second)
    values = {
        "transaction_id": f"00000000-0000-0000-0000-{name:012}",
        "event_time": arrived,
        "branch": "Kazan",
        "currency": "RUB",
        "amount": Decimal("1.00"),
    }
    return {
        "topic_id": place.topic_id,
        "kafka_partition": place.partition,
        "kafka_offset": place.offset,
        "kafka_time": arrived,
        "arrival_time": arrived,
        **values,
        **fields,
        "extra": None,
    }


def rows(spark: SparkSession, *events: dict[str, Any]) -> DataFrame:
    """What :mod:`watershed.spark.raw` reads."""
    fields = ", ".join(f"{f.name} {f.dataType.simpleString()}" for f in event_type(TRANSACTION))
    return spark.createDataFrame(list(events), f"{RAW}{fields}, extra string")


class Rate(NamedTuple):
    """One row of ``fx_rate``; the quote may be older than the day."""

    currency: str
    day: date
    per_eur: Decimal
    rate_date: date
    source: str = "ecb"


def rates(days: Iterator[date] | list[date], **per_eur: str) -> list[Rate]:
    """The same quotes for each of the days, and EUR."""
    quotes = {"EUR": "1", **per_eur}
    return [Rate(name, day, Decimal(rate), day) for day in days for name, rate in quotes.items()]


def references(spark: SparkSession, fx_rate: list[Rate]) -> dict[str, DataFrame]:
    """Two of the branches, three of the currencies, and these rates."""
    branches = [("Kazan", "Tatarstan", "Kazan"), ("SPB", "North-West", "Saint Petersburg")]
    money = [("RUB", "Russian rouble"), ("EUR", "Euro"), ("USD", "US dollar")]
    quoted = "currency string, day date, per_eur decimal(18,8), rate_date date, source string"
    return {
        "branch": spark.createDataFrame(branches, "branch string, region string, city string"),
        "currency": spark.createDataFrame(money, "currency string, name string"),
        "position_limit": spark.createDataFrame([("RUB",)], "currency string"),
        "fx_rate": spark.createDataFrame(fx_rate, quoted),
    }
