"""What a trace asks the stores, as far as it can be calculated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from watershed.contracts.model import Contract
from watershed.operations.search import CHUNK, as_id, chunks
from watershed.operations.trace import Searched, searched
from watershed.speed.time_index import BlockOffsets
from watershed.stores.raw import BLOCK
from watershed.timestamps import floored

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID = "8F14E45F-CEEA-467F-A0E6-9D1C2B3A4D5E"


def arrived(start: int, stop: int, minute: int = 0) -> BlockOffsets:
    later = NOON + timedelta(minutes=minute)
    return BlockOffsets("g", 1, range(start, stop), later, later + timedelta(seconds=1))


def test_an_id_is_sought_as_the_raw_store_has_it(transaction: Contract) -> None:
    assert as_id(transaction, ID) == UUID(ID)
    assert as_id(transaction, "x") is None
    assert as_id(transaction, "{" + ID + "}") is None
    name = transaction.model_copy(update={"event_id": "branch"})
    assert as_id(name, "x") == "x"


def test_chunks_are_all_of_a_range_and_none_is_in_two_blocks() -> None:
    whole = arrived(BLOCK + 5, 2 * BLOCK)
    cut = list(chunks([whole]))
    assert [offset for chunk in cut for offset in chunk.offsets] == list(whole.offsets)
    assert all(len(chunk.offsets) <= CHUNK for chunk in cut)
    assert {chunk.offsets.start // BLOCK for chunk in cut} == {1}
    assert all(chunk[:2] == ("g", 1) for chunk in cut)


def test_a_search_says_what_arrived_where_it_looked() -> None:
    assert searched([arrived(5, 9, 2), arrived(0, 5, 1)], 7) == Searched(
        NOON + timedelta(minutes=1), NOON + timedelta(minutes=2, seconds=1), 7
    )
    assert searched([], 7) == Searched(None, None, 7)


@pytest.mark.parametrize(
    ("seconds", "start"), [(0, 0), (1.999, 0), (2, 2), (3.999, 2), (-1, 0), (-1.5, -2), (-2, -2)]
)
def test_windows_are_counted_as_spark_does(seconds: float, start: int) -> None:
    epoch = datetime.fromtimestamp(0, UTC)
    at = epoch + timedelta(seconds=seconds)
    assert floored(at, 2) == epoch + timedelta(seconds=start)
