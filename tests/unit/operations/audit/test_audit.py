"""What the audit concludes from offsets, sums and Kafka, without any server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watershed.operations.audit.audit import unlike_kafka, unlike_stored
from watershed.operations.audit.snapshot import CommitSnapshot, CommittedOffsets
from watershed.operations.audit.tally import (
    PartitionTally,
    Tally,
    Total,
    add,
    differing,
    extend,
    faulty_ranges,
    first_window,
    plain,
    without,
)
from watershed.stores import raw
from watershed.stores.record_id import TopicPartition
from watershed.stores.topics import TopicState

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("present", "gaps", "overlaps"),
    [
        ([5, 6, 7, 8, 9], [], []),
        ([], [range(5, 10)], []),
        ([7, 8, 9], [range(5, 7)], []),
        ([5, 6, 7], [range(8, 10)], []),
        ([5, 8, 9], [range(6, 8)], []),
        ([5, 7, 9], [range(6, 7), range(8, 9)], []),
        ([5, 5, 6, 7, 8, 9, 9], [], [range(5, 6), range(9, 10)]),
        ([5, 6, 6, 7, 7, 9], [range(8, 9)], [range(6, 8)]),
    ],
)
def test_faulty_ranges(present: list[int], gaps: list[range], overlaps: list[range]) -> None:
    assert faulty_ranges(range(5, 10), present) == (gaps, overlaps)


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(0, 2**40))
def test_faulty_ranges_are_exactly_the_faulty_offsets(times: list[int], start: int) -> None:
    expected = range(start, start + len(times))
    present = [offset for offset, n in zip(expected, times, strict=True) for _ in range(n)]
    gaps, overlaps = faulty_ranges(expected, present)
    for ranges, n in ((gaps, 0), (overlaps, 2)):
        offsets = [offset for one in ranges for offset in one]
        assert offsets == [o for o, k in zip(expected, times, strict=True) if k == n]
        assert all(a.stop < b.start for a, b in pairwise(ranges))


def test_ranges_join_where_blocks_meet() -> None:
    ranges = [range(2), range(5, 8)]
    extend(ranges, [range(8, 9), range(10, 11)])
    assert ranges == [range(2), range(5, 9), range(10, 11)]


def test_what_is_left_without_given_up_ranges() -> None:
    assert without([range(10), range(20, 30)], [range(3, 5), range(8, 22)]) == [
        range(3),
        range(5, 8),
        range(22, 30),
    ]
    assert without([range(5)], []) == [range(5)]
    assert without([range(5)], [range(9)]) == []


def test_offsets_are_cut_where_cassandra_partitions_end() -> None:
    blocks = raw.blocks(range(65_530, 131_073))
    assert blocks == [range(65_530, 65_536), range(65_536, 131_072), range(131_072, 131_073)]
    assert raw.blocks(range(7, 7)) == []


def test_tally_sums_by_window_and_group() -> None:
    tally = Tally(2)
    at = NOON.replace(tzinfo=None)
    late = at + timedelta(seconds=1, milliseconds=999)
    rows = [
        (7, at, Decimal("0.10"), "Kazan"),
        (8, late, Decimal("0.20"), "Kazan"),
        (9, at + timedelta(seconds=2), Decimal("1.00"), "Kazan"),
        (10, at, Decimal("-5.00"), "SPB"),
    ]
    assert list(tally.passing(rows)) == [7, 8, 9, 10]
    assert tally.count == 4
    assert tally.totals == {
        (NOON, "Kazan"): Total(Decimal("0.30"), 2),
        (NOON + timedelta(seconds=2), "Kazan"): Total(Decimal("1.00"), 1),
        (NOON, "SPB"): Total(Decimal("-5.00"), 1),
    }


def test_sums_of_38_digits_stay_exact() -> None:
    big, cent = Decimal(10**35), Decimal("0.01")
    tally = Tally(2)
    at = NOON.replace(tzinfo=None)
    list(tally.passing([(0, at, big, "Kazan"), (1, at, cent, "Kazan")]))
    exact = Decimal(f"{10**35}.01")
    assert tally.totals == {(NOON, "Kazan"): Total(exact, 2)}
    assert add({}, [(("a",), Total(big, 1)), (("a",), Total(cent, 1))]) == {("a",): Total(exact, 2)}


def test_drivers_values_become_the_same() -> None:
    assert plain([UUID(int=1), NOON.replace(tzinfo=None), Decimal("1.0"), True]) == (
        "00000000-0000-0000-0000-000000000001",
        NOON,
        Decimal(1),
        True,
    )


def test_differing_names_every_kind_of_difference() -> None:
    same, cent_more = Total(Decimal("1.10"), 3), Total(Decimal("1.11"), 3)
    stored = {("a",): same, ("b",): cent_more, ("c",): same, ("d",): Total(Decimal("1.10"), 4)}
    rows = {("a",): same, ("b",): same, ("d",): same, ("e",): same}
    assert differing(stored, rows) == [
        "b: 1.11 in 3, the raw rows say 1.10 in 3",
        "c: 1.10 in 3, the raw rows say nothing",
        "d: 1.10 in 4, the raw rows say 1.10 in 3",
        "e: nothing, the raw rows say 1.10 in 3",
    ]
    assert differing(rows, rows) == []


def test_differing_tells_the_window() -> None:
    stored = {(NOON, "Kazan"): Total(Decimal("-0.01"), 1)}
    (line,) = differing(stored, {})
    assert line.startswith("2026-01-31T12:00:00Z Kazan: -0.01 in 1")


@pytest.mark.parametrize(("ms", "start_s"), [(0, 0), (1, 2), (1_999, 2), (2_000, 2)])
def test_first_window_is_whole(ms: int, start_s: int) -> None:
    assert first_window(NOON + timedelta(milliseconds=ms), 2) == NOON + timedelta(seconds=start_s)


def test_counts_must_be_the_committed_ones() -> None:
    committed = CommittedOffsets(range(10), 8, 2)
    assert list(unlike_stored(committed, PartitionTally([], [], 8, 2))) == []
    assert list(unlike_stored(committed, PartitionTally([], [], 9, 1))) == [
        "9 raw rows, committed are 8",
        "1 rows in quarantine, committed are 2",
    ]
    assert list(unlike_stored(committed, PartitionTally([range(3, 5)], [range(7, 8)], 8, 2))) == [
        "[3, 5) is in neither raw store nor quarantine",
        "[7, 8) is in both raw store and quarantine",
    ]


def test_quarantined_records_may_have_expired_but_raw_rows_not() -> None:
    committed = CommittedOffsets(range(10), 8, 2, expired=1, kept_from=5)
    assert list(unlike_stored(committed, PartitionTally([range(3, 4)], [], 8, 1))) == []
    assert list(unlike_stored(committed, PartitionTally([range(6, 7)], [], 8, 1))) != []
    assert "[3, 4) is in neither raw store nor quarantine" in list(
        unlike_stored(committed, PartitionTally([range(3, 4)], [], 7, 2))
    )
    assert list(unlike_stored(committed, PartitionTally([], [], 8, 0))) != []


@pytest.mark.parametrize(
    ("topic_id", "begin", "end", "fault"),
    [
        ("g", 0, 10, ""),
        ("g", 10, 12, ""),
        ("g", 0, 9, "partition 0: committed up to 10, Kafka ends at 9"),
        ("g", 11, 12, "partition 0: [10, 11) expired before it was read"),
        ("h", 0, 10, "the topic's id is h, committed is g"),
    ],
)
def test_kafka_must_have_the_committed_vector(
    topic_id: str, begin: int, end: int, fault: str
) -> None:
    committed = CommitSnapshot(
        1,
        "g",
        None,
        {
            TopicPartition("g", 0): CommittedOffsets(range(10), 10, 0),
            TopicPartition("old", 0): CommittedOffsets(range(99), 99, 0),
        },
        [],
        [],
    )
    topic = TopicState("transaction", topic_id, {0: begin}, {0: end})
    assert list(unlike_kafka(committed, topic)) == ([fault] if fault else [])
