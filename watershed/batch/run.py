"""A run's intervals and reference data: the plan, with what PostgreSQL knows."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor

from watershed.batch import ledger
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.batch.plan import Asked, Limit, choose_snapshot, covering, plan
from watershed.contracts.model import Contract
from watershed.speed import time_index
from watershed.stores import reference

MINUTE_S = 60
"""Every interval, whatever the width was, begins and ends with a whole minute."""


def intervals(
    cursor: Cursor, contract: Contract, asked: Asked, width_s: int, events_max: int
) -> list[Interval]:
    """The intervals that a run publishes, as of one frontier: see :func:`watershed.batch.plan`.

    Raises IntervalError, or SettingsError for a width that does not fit the contract.
    """
    frontier = ledger.frontier(cursor, contract, width_s)
    within = covering(asked, frontier, width_s)
    if within is None:
        return []
    known = ledger.read(cursor, contract.type, within)
    arrived = time_index.arrivals(cursor, contract.type, *within, MINUTE_S)
    return plan(asked, frontier, known, width_s, Limit(events_max, arrived))


def snapshot(
    cursor: Cursor,
    event_type: str,
    of: Sequence[Interval],
    before: Attempt | None,
    *,
    as_published: bool,
) -> int:
    """The reference data's snapshot for these intervals; ``before`` is the run's last attempt.

    The newest, unless they were published before and are to be ``as_published``. Raises
    IntervalError where they would need different ones, StoreError where there is none.
    """
    newest = reference.newest(cursor).snapshot
    if not as_published:
        return newest
    named = ledger.snapshots(cursor, event_type, of)
    return choose_snapshot(of, named, newest, before.snapshot if before else None)
