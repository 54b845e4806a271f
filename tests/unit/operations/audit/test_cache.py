"""What the audit concludes from the cache, without any server."""

from __future__ import annotations

from collections.abc import Set

import pytest

from watershed.operations.audit.cache import CacheComparison, absent, faults, is_enough, miscached
from watershed.operations.audit.cache_content import CacheContent, CachedEvent


def test_miscached_names_every_kind_of_difference() -> None:
    entry = CachedEvent(1, "{}")
    right = CacheContent(
        {("l", "a"): entry, ("l", "b"): entry, ("l", "c"): entry, ("n", "e"): entry},
        {"p": ("1.10", "2"), "r": ("0", "1")},
        frozenset("ln"),
    )
    wrong = CacheContent(
        {("l", "b"): CachedEvent(2, "{}"), ("l", "c"): CachedEvent(1, None), ("m", "d"): entry,
         ("n", "f"): entry},
        {"p": ("1.1", "2"), "q": (None, None)},
        frozenset("lm"),
    )  # fmt: skip
    assert miscached(right, right) == {}
    assert miscached(right, wrong) == {
        "l": ["l: a is missing", "l: b has the time 2, not 1", "l: c has another JSON"],
        "m": ["m: d is there, and should not be"],
        "p": ["p: 1.1 in 2, committed is 1.10 in 2"],
        "q": ["q: None in None, committed is nothing"],
    }
    assert absent(right, right) == set()
    assert absent(right, wrong) == {"n", "r"}
    assert miscached(right.only({"p"}), wrong.only({"p"})).keys() == {"p"}
    assert absent(right.only({"n"}), wrong.only({"n"})) == {"n"}


NOTHING = CacheContent({}, {}, frozenset())
WRONG = {"p": ["p: 1 in 1, committed is 2 in 2"]}


def compared(
    *numbers: int, wrong: dict[str, list[str]] | None = None, absent: Set[str] = frozenset()
) -> CacheComparison:
    return CacheComparison(NOTHING, *numbers, wrong or {}, absent)


@pytest.mark.parametrize(
    ("last", "enough", "found"),
    [
        (compared(10, 10, 10), True, []),
        (compared(10, 10, 10, wrong=WRONG), True, WRONG["p"]),
        (compared(10, 10, 10, absent={"l"}), True, []),
        (compared(12, 11, 13), True, []),
        (compared(12, 11, 13, absent={"l"}), False, []),
        (compared(12, 9, 13), False, ["cache is 4 commits behind: it has 9, committed is 13"]),
        (compared(12, 11, 13, wrong=WRONG), False,
         ["cache is 2 commits behind: it has 11, committed is 13", *WRONG["p"]]),
        (compared(12, 13, 13, wrong=WRONG), False,
         ["for 20 s commits came in between, it has 13, committed is 13", *WRONG["p"]]),
        (compared(10, 12, 10), False, ["cache is 2 commits ahead: it has 12, committed is 10"]),
    ],
)  # fmt: skip
def test_a_comparison_of_the_cache_is_enough_or_says_why_not(
    last: CacheComparison, enough: bool, found: list[str]
) -> None:
    first = compared(10, 9, 11, wrong=WRONG)
    assert is_enough(first, last) == enough
    assert faults(first, last) == found
