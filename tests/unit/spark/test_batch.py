"""What a batch hands to the commit and to the cache, from what Spark summed up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import Row

from watershed.contracts.load import load_contract
from watershed.errors import ProgressError
from watershed.spark.batch import check_clock, check_not_behind, newest, offset_ranges, sums
from watershed.stack.home import ROOT
from watershed.stores.control import Progress
from watershed.stores.critical import CriticalEvent

START = datetime(2026, 11, 23, tzinfo=UTC)


def event(second: int, name: str, text: str = "") -> CriticalEvent:
    return CriticalEvent("Kazan", START + timedelta(seconds=second), name, text)


def row(partition: int, first: int, last: int, **values: Any) -> Row:
    known = {"valid": True, "events": last - first + 1, "arrival_min": START, "arrival_max": START}
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


def test_ranges_count_valid_and_broken_records_of_each_partition() -> None:
    ranges = offset_ranges([row(0, 5, 6), row(0, 7, 7, valid=False), row(1, 0, 9)])
    found = [(r.partition, r.from_offset, r.to_offset, r.stored, r.quarantined) for r in ranges]
    assert found == [(0, 5, 8, 2, 1), (1, 0, 10, 10, 0)]


def test_missing_records_are_refused() -> None:
    with pytest.raises(ProgressError, match="compacted"):
        offset_ranges([row(0, 5, 6), row(0, 8, 8)])


def test_sums_add_partitions_exactly_and_leave_broken_records_out() -> None:
    large = Decimal("12345678901234567890123456789012345.67")
    rows = [row(0, 0, 0, value=large), row(1, 0, 1), row(2, 0, 0, valid=False, value=None)]
    [only] = sums(rows)
    assert only.value == Decimal("12345678901234567890123456789012345.77")
    assert only.events == 3


def test_records_from_the_future_are_refused_with_their_range() -> None:
    contract = load_contract(ROOT / "schemas" / "transaction" / "contract.yaml")
    early = offset_ranges([row(0, 5, 6, arrival_max=START + timedelta(seconds=300))])
    check_clock(contract, early, START, 300)
    late = offset_ranges([row(0, 5, 6, arrival_max=START + timedelta(seconds=301))])
    with pytest.raises(
        ProgressError, match=r"(?s)transaction/0.*\[5, 7\).*repair clock transaction"
    ):
        check_clock(contract, late, START, 300)


def test_a_clock_that_went_back_is_refused() -> None:
    known = {0: Progress(0, 1, START, 1, 0), 1: Progress(0, 0, None, 0, 0)}
    check_not_behind(known, START - timedelta(seconds=300), 300)
    check_not_behind({}, START, 300)
    with pytest.raises(ProgressError, match="301 s"):
        check_not_behind(known, START - timedelta(seconds=301), 300)
