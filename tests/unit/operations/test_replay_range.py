"""Which parts of the quarantine a range of offsets lies in."""

from __future__ import annotations

import pytest

from watershed.operations.replay_range import by_block
from watershed.stores.raw import BLOCK


@pytest.mark.parametrize(
    ("first", "last", "parts"),
    [
        (5, 5, [range(5, 6)]),
        (0, BLOCK - 1, [range(BLOCK)]),
        (7, BLOCK, [range(7, BLOCK), range(BLOCK, BLOCK + 1)]),
        (BLOCK + 1, 2 * BLOCK, [range(BLOCK + 1, 2 * BLOCK), range(2 * BLOCK, 2 * BLOCK + 1)]),
        (6, 5, []),
    ],
)
def test_a_range_by_cassandra_partition(first: int, last: int, parts: list[range]) -> None:
    assert by_block(first, last) == parts
