"""Which snapshot of the reference data a run publishes its intervals with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby

from watershed.batch.intervals import Interval
from watershed.errors import IntervalError

NEWEST = "newest"
AS_PUBLISHED = "as published"
SHOWN = 4


def choose_snapshot(
    wanted: str,
    parts: Sequence[Interval],
    named: Mapping[datetime, int],
    newest: int,
    before: int | None = None,
) -> int:
    """The number of the snapshot for all of ``parts``, which are in order.

    ``named`` has the ledger's snapshot of each final interval, by its start: the same inputs
    give the same report. What nobody has made final takes the newest, as everything does when
    ``wanted`` is that. ``before`` is the snapshot of the run's last attempt: what that left
    not final when it ended half-way takes it too. Raises IntervalError where the intervals would
    need different ones.
    """
    if wanted == NEWEST:
        return newest
    # One that published nothing is not held to it: it may have failed for want of a correction.
    rest = before if before is not None and before in named.values() else newest
    each = [(named.get(one.start, rest), one) for one in parts]
    first = each[0][0]
    if any(number != first for number, _ in each):
        raise IntervalError(
            f"the intervals have different snapshots of the reference data: {_listed(each)}",
            "publish these ranges one by one, or ask for the newest reference data",
        )
    return first


def _listed(each: Iterable[tuple[int, Interval]]) -> str:
    """The first few stretches of one snapshot."""
    runs = [(number, [one for _, one in run]) for number, run in groupby(each, lambda one: one[0])]
    texts = [f"{Interval(run[0].start, run[-1].end)} has {number}" for number, run in runs[:SHOWN]]
    return ", ".join([*texts, *(["…"] if len(runs) > SHOWN else [])])
