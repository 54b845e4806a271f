"""First arrivals, and a query that must give every event back once, as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import _parse_datatype_string

from tests.support.batches import START, TRANSACTION, Place, event, rates, references, rows
from watershed.batch.intervals import Interval
from watershed.contracts.derived import event_columns
from watershed.contracts.model import Field
from watershed.contracts.query import Query
from watershed.errors import ContractError
from watershed.spark import enrich
from watershed.spark.enrich import is_held

MINUTE = timedelta(minutes=1)
HOUR = [Interval(START, START + 60 * MINUTE)]
QUERY = Path("schemas/transaction/enrich.sql")
Run = Callable[[str], list[tuple[int, str]]]


@pytest.fixture(autouse=True)
def as_in_the_job(spark: SparkSession) -> Iterator[None]:
    spark.conf.set("spark.sql.ansi.enabled", "true")
    yield
    spark.conf.unset("spark.sql.ansi.enabled")


@pytest.mark.parametrize(
    "other", [Place(9, 0, "one", 3), Place(9, 1, "one", 2), Place(9, 0, "two", 2)]
)
def test_first_is_the_first_arrival_then_topic_id_partition_and_offset(
    spark: SparkSession, other: Place
) -> None:
    first = Place(5, 0, "one", 2)
    for pair in ([first, other], [other, first]):
        raw = rows(spark, *[event(1, place) for place in pair])
        found = enrich.events(raw, TRANSACTION, HOUR).where("is_first").collect()
        assert [(row.kafka_offset, row.arrival_time.second) for row in found] == [(5, 2)]


def test_of_one_partition_the_lower_offset_is_first(spark: SparkSession) -> None:
    raw = rows(spark, event(1, Place(8)), event(1, Place(7)), event(2, Place(9)))
    found = enrich.events(raw, TRANSACTION, HOUR).collect()
    assert {row.kafka_offset: row.is_first for row in found} == {7: True, 8: False, 9: True}


def test_each_interval_has_a_first_of_its_own(spark: SparkSession) -> None:
    halves = [
        Interval(START, START + 30 * MINUTE),
        Interval(START + 30 * MINUTE, START + 60 * MINUTE),
    ]
    raw = rows(spark, event(1, Place(0)), event(1, Place(1, second=1800)))
    found = enrich.events(raw, TRANSACTION, halves).collect()
    assert {row.interval_start.minute: row.is_first for row in found} == {0: True, 30: True}


def test_hash_is_of_the_fields_alone(spark: SparkSession) -> None:
    raw = rows(
        spark,
        event(1, Place(0), event_time=START),
        event(1, Place(1, 2, "two", 9), event_time=START),
        event(1, Place(2), event_time=START, amount=Decimal("1.01")),
    )
    found = enrich.events(raw, TRANSACTION, HOUR).orderBy("kafka_offset").collect()
    same, again, other = [row.payload_hash for row in found]
    assert same == again != other


def test_hash_tells_which_fields_are_missing(spark: SparkSession) -> None:
    """The same value in one field that may be absent, or in the other, is other content."""
    more = {
        "payer": Field(type="string", description="Who pays.", nullable=True),
        "payee": Field(type="string", description="Who is paid.", required=False),
    }
    contract = TRANSACTION.model_copy(update={"fields": TRANSACTION.fields | more})
    some = [(None, None), ("x", None), (None, "x"), ("x", "x")]
    people = spark.createDataFrame(some, "payer string, payee string")
    found = (
        rows(spark, event(1, Place(0)))
        .crossJoin(people)
        .select(
            F.xxhash64(*TRANSACTION.fields).alias("old"),
            enrich.payload_hash(TRANSACTION).alias("hash"),
            F.coalesce("payer", "payee").isNull().alias("has_neither"),
            enrich.payload_hash(contract).alias("more"),
        )
        .collect()
    )
    assert all(row.hash == row.old for row in found)  # what is final has it
    assert len({row.more for row in found}) == len(some)
    assert [row.more for row in found if row.has_neither] == [found[0].old]


def test_intervals_of_any_widths(spark: SparkSession) -> None:
    widths = [5, 5, 5, 35, 60, 60, 1]
    bounds = [START + sum(widths[:n]) * MINUTE for n in range(len(widths) + 1)]
    intervals = [Interval(*pair) for pair in pairwise(bounds)]
    times = [
        moment + step for moment in bounds for step in (-timedelta(milliseconds=1), timedelta())
    ]
    frame = spark.createDataFrame([(time,) for time in times], "at timestamp")
    found = frame.select(enrich.interval_start("at", intervals)).collect()

    def start_of(time: datetime) -> datetime | None:
        within = [interval.start for interval in intervals if interval.start <= time < interval.end]
        return within[0].replace(tzinfo=None) if within else None

    assert [row[0] for row in found] == [start_of(time) for time in times]


@pytest.fixture
def run(spark: SparkSession) -> Run:
    """Runs a query over four events, with the checks; ``(offset, amount)`` of its result."""
    raw = rows(
        spark,
        event(1, Place(0), amount=Decimal("0.10")),
        event(2, Place(1), amount=Decimal("0.10"), branch="SPB"),
        event(3, Place(2), amount=Decimal("-5.00"), branch="Surgut", currency="GBP"),
        event(3, Place(3), amount=Decimal("7.00")),
    )

    def result(text: str) -> list[tuple[int, str]]:
        query = Query(QUERY, text)
        view = enrich.events(raw, TRANSACTION, HOUR)
        some = references(spark, rates([START.date()], RUB="90"))
        out = enrich.enriched(spark, query, view, some)
        before, after = (enrich.measured(frame, TRANSACTION) for frame in (view, out))
        enrich.check(TRANSACTION, query, before, after)
        return [
            (row.kafka_offset, str(row.amount)) for row in out.orderBy("kafka_offset").collect()
        ]

    return result


KEPT = "SELECT event.*, array() AS unmatched FROM event "


def other(**columns: str) -> str:
    """The query with other columns in the place of the event's own."""
    names = [f"{columns.get(name, name)} AS {name}" for name in event_columns(TRANSACTION)]
    return f"SELECT {', '.join(names)}, array() AS unmatched FROM event "


def test_query_that_keeps_every_event(run: Run) -> None:
    assert run(KEPT) == [(0, "0.10"), (1, "0.10"), (2, "-5.00"), (3, "7.00")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (KEPT + "JOIN branch ON branch.branch = event.branch",
         "drops events: 4 went in, 3 came out (-1)"),
        (KEPT + "LEFT JOIN (SELECT 'SPB' AS b UNION ALL SELECT 'SPB') ON b = event.branch",
         "multiplies events: 4 went in, 5 came out (+1)"),
        (other(amount="amount * 3"),
         "alters `amount`: its sum was 2.20, and is 6.60 (+4.40)"),
        (other(amount="round(amount / 3, 2) * 3"),
         "alters `amount`: its sum was 2.20, and is 2.16 (-0.04)"),
        (KEPT + "WHERE kafka_offset <> 0 UNION ALL " + KEPT + "WHERE kafka_offset = 1",
         "gives other events than it was given, as many and with the same sum of `amount`"),
        (other(is_first="true"),
         "gives other events than it was given, as many and with the same sum of `amount`"),
        (KEPT + "WHERE false", "drops events: 4 went in, 0 came out (-4)"),
    ],
)  # fmt: skip
def test_query_that_does_not_keep_them_is_refused(run: Run, text: str, what: str) -> None:
    with pytest.raises(ContractError) as refused:
        run(text)
    assert refused.value.cause == f"{QUERY} {what}"
    assert "LEFT JOIN" in refused.value.remedy


def test_query_that_spark_does_not_understand_is_named(run: Run) -> None:
    with pytest.raises(ContractError, match=rf"{QUERY}: .*UNRESOLVED_COLUMN.*\n.*docs/contracts"):
        run(KEPT.replace("array()", "array(nobody)"))


def test_matched_events_have_null_for_unmatched(spark: SparkSession) -> None:
    view = enrich.events(rows(spark, event(1, Place(0))), TRANSACTION, HOUR)
    for array in ("array()", "array(CAST(NULL AS string))", "NULL"):
        query = Query(QUERY, KEPT.replace("array()", array))
        found = enrich.enriched(spark, query, view, {}).select(F.col("unmatched")).collect()
        assert [row.unmatched for row in found] == [None]


@pytest.mark.parametrize(
    ("returned", "declared", "held"),
    [
        ("string", "string", True),
        ("string", "uuid", True),
        ("int", "string", False),
        ("int", "integer", True),
        ("bigint", "integer", True),
        ("decimal(18,0)", "integer", True),
        ("decimal(19,0)", "integer", False),
        ("decimal(18,1)", "integer", False),
        ("decimal(20,2)", "decimal(20,2)", True),
        ("decimal(19,2)", "decimal(20,2)", True),
        ("decimal(20,3)", "decimal(20,2)", False),
        ("decimal(20,1)", "decimal(20,2)", False),
        ("int", "decimal(12,2)", True),
        ("bigint", "decimal(12,2)", False),
        ("double", "decimal(20,2)", False),
        ("float", "double", True),
        ("bigint", "double", False),
        ("decimal(3,1)", "double", False),
        ("date", "date", True),
        ("timestamp", "date", False),
        ("timestamp", "timestamp", True),
        ("boolean", "boolean", True),
        ("array<string>", "string", False),
        ("void", "decimal(2,1)", True),
    ],
)
def test_what_a_column_of_facts_holds(
    returned: str, declared: str, held: bool, spark: SparkSession
) -> None:
    assert is_held(_parse_datatype_string(returned), declared) is held


def test_a_column_of_another_type_is_refused(spark: SparkSession) -> None:
    query = Query(QUERY, "")
    types = dict.fromkeys(TRANSACTION.columns, "string")
    result = spark.createDataFrame([], ", ".join(f"{n} {t}" for n, t in types.items()))
    with pytest.raises(ContractError) as refused:
        enrich.check_types(TRANSACTION, query, result)
    assert refused.value.cause == (
        "schemas/transaction/enrich.sql returns `event_time` as string, which the contract's"
        " timestamp may not hold"
    )
