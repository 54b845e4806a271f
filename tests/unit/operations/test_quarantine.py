"""Places as operators write them, and the list of what is in quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watershed.contracts.reasons import Reason
from watershed.operations.quarantine import tallied
from watershed.stores.quarantine import Rejected
from watershed.stores.record_id import RecordId

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@given(st.integers(0, 10**9 - 1), st.integers(0, 10**18 - 1))
def test_a_place_is_read_as_it_is_written(partition: int, offset: int) -> None:
    place = RecordId("transaction", partition, offset)
    assert RecordId.parse(str(place)) == place


@pytest.mark.parametrize(
    "text", ["", "transaction", "transaction/0", "transaction/0/-1", "transaction/0/1/2",
             "Transaction/0/1", "transaction/0/1 ", "transaction/٠/1", "transaction/0/" + "1" * 19]
)  # fmt: skip
def test_anything_else_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="type/partition/offset"):
        RecordId.parse(text)


def passing(*reasons: Reason) -> Iterator[tuple[RecordId, Rejected]]:
    for offset, reason in enumerate(reasons):
        yield RecordId("t", 0, offset), Rejected(0, offset, NOON, NOON, reason, "")


def test_the_first_are_listed_and_all_are_counted() -> None:
    records = passing(Reason.NOT_JSON, Reason.OUT_OF_ENUM, Reason.NOT_JSON, Reason.NOT_JSON)
    listed, counts, whole = tallied(records, None, 2, 100)
    assert [place.offset for place, _ in listed] == [0, 1]
    assert (counts, whole) == ({"not_json": 3, "out_of_enum": 1}, True)


def test_a_reason_chooses_what_is_listed_not_what_is_counted() -> None:
    records = passing(Reason.NOT_JSON, Reason.OUT_OF_ENUM, Reason.NOT_JSON, Reason.NOT_JSON)
    listed, counts, _ = tallied(records, Reason.NOT_JSON, 2, 100)
    assert [place.offset for place, _ in listed] == [0, 2]
    assert counts == {"not_json": 3, "out_of_enum": 1}


def test_counting_ends_and_says_so() -> None:
    def endless() -> Iterator[tuple[RecordId, Rejected]]:
        while True:
            yield from passing(Reason.NOT_JSON)

    assert tallied(endless(), None, 0, 5) == ([], {"not_json": 5}, False)
    assert tallied(passing(*[Reason.NOT_JSON] * 5), None, 0, 5)[2]
