"""What a batch hands to the commit and to the cache, from what Spark summed up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import Row

from watershed.contracts.load import load_contract
from watershed.errors import ProgressError
from watershed.spark.batch import newest
from watershed.spark.totals import check_broker, check_clock, offset_ranges, sums
from watershed.speed.critical import CriticalEvent
from watershed.speed.progress import Progress
from watershed.stack.home import ROOT

TRANSACTION = load_contract(ROOT / "schemas" / "transaction" / "contract.yaml")
START = datetime(2026, 11, 23, tzinfo=UTC)


def event(second: int, name: str, text: str = "") -> CriticalEvent:
    return CriticalEvent("Kazan", START + timedelta(seconds=second), name, text)


def row(partition: int, first: int, last: int, **values: Any) -> Row:
    known = {"valid": True, "events": last - first + 1, "arrival_min": START, "arrival_max": START,
             "believed_min": START, "may_miss": 0}  # fmt: skip
    window = {"window": START, "groups": Row("Kazan", "RUB"), "value": Decimal("0.10")}
    return Row(kafka_partition=partition, first=first, last=last, **known | window | values)


def test_newest_are_cut_per_entity_after_repeated_ones_are_left_out() -> None:
    repeated = [event(3, "c"), event(3, "c"), event(2, "b"), event(1, "a")]
    assert [one.event_id for one in newest(repeated, 2)] == ["c", "b"]
    other = CriticalEvent("SPB", START, "d", "")
    assert [one.event_id for one in newest([*repeated, other], 1)] == ["c", "d"]


def test_of_one_id_the_newest_time_counts_then_the_first_arrival() -> None:
    events = [event(1, "a", "old"), event(2, "a", "first"), event(2, "a", "second")]
    assert [one.event for one in newest(events, 5)] == ["first"]


def progress(**values: Any) -> dict[int, Progress]:
    """Two partitions; the first is committed up to offset 5."""
    return {0: Progress(0, 5, START, 5, 0, **values), 1: Progress(0, 0, None, 0, 0)}


def ranges(rows: list[Row], **values: Any) -> list[tuple[int, ...]]:
    found = offset_ranges(TRANSACTION, rows, progress(**values))
    return [
        (r.partition, r.from_offset, r.to_offset, r.stored, r.quarantined, r.skipped) for r in found
    ]


def test_ranges_count_valid_and_broken_records_of_each_partition() -> None:
    rows = [row(0, 5, 6), row(0, 7, 7, valid=False), row(1, 0, 9)]
    assert ranges(rows) == [(0, 5, 8, 2, 1, 0), (1, 0, 10, 10, 0, 0)]


def test_missing_records_are_refused() -> None:
    with pytest.raises(ProgressError, match=r"(?s)\[5, 9\).*3 records.*repair holes transaction"):
        ranges([row(0, 5, 6), row(0, 8, 8)])


def test_missing_records_are_skipped_as_far_as_an_operator_said() -> None:
    allowed = {"holes_until": 10}
    assert ranges([row(0, 7, 7, may_miss=1), row(0, 9, 9, may_miss=1)], **allowed) == [
        (0, 5, 10, 2, 0, 3)
    ]
    assert ranges([row(0, 9, 12, may_miss=1)], **allowed) == [(0, 5, 13, 4, 0, 4)]
    with pytest.raises(ProgressError):
        ranges([row(0, 9, 9, may_miss=1), row(0, 12, 12)], **allowed)
    assert ranges([row(0, 11, 12)], **allowed) == [(0, 11, 13, 2, 0, 0)]


def test_sums_add_partitions_exactly_and_leave_broken_records_out() -> None:
    large = Decimal("12345678901234567890123456789012345.67")
    rows = [row(0, 0, 0, value=large), row(1, 0, 1), row(2, 0, 0, valid=False, value=None)]
    [only] = sums(rows)
    assert only.value == Decimal("12345678901234567890123456789012345.77")
    assert only.events == 3


def check(late_s: int = 0, **values: Any) -> None:
    times = {"arrival_max": START + timedelta(seconds=late_s), **values}
    check_clock(TRANSACTION, [row(0, 5, 6, **times)], progress(), START, 300)


def test_records_from_the_future_are_refused_with_their_range() -> None:
    check(300)
    with pytest.raises(ProgressError, match=r"(?s)transaction/0.*\[5, 7\).*repair clock"):
        check(301)


def test_records_from_long_before_the_watermark_are_refused_unless_an_operator_knows() -> None:
    check(believed_min=START - timedelta(seconds=300))
    check(believed_min=None)
    with pytest.raises(ProgressError, match=r"(?s)301 s before.*repair clock transaction"):
        check(believed_min=START - timedelta(seconds=301))


@pytest.mark.parametrize("off_s", [-301, 301])
def test_no_watermark_is_taken_from_a_wrong_clock(off_s: int) -> None:
    right = START + timedelta(seconds=off_s - off_s // abs(off_s))
    check_broker(TRANSACTION, progress(), right, START, 300)
    check_broker(TRANSACTION, {}, START, START, 300)
    with pytest.raises(ProgressError, match="Kafka's clock shows"):
        check_broker(TRANSACTION, progress(), START + timedelta(seconds=off_s), START, 300)
