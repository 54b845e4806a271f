"""``./ws skip-interval``: which interval it may go past."""

from __future__ import annotations

from psycopg2.extensions import connection as Connection

from watershed.batch import intervals
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.errors import IntervalError


def next_interval(connection: Connection, contract: Contract, interval_s: int) -> Interval:
    """The interval that is to be made final next; commits. Raises IntervalError for none yet."""
    with connection:
        found = intervals.frontier(connection, contract, interval_s)
    if found is not None:
        start = found.final_until
        one = intervals.cut(Interval(start, found.watermark), interval_s)[:1]
        if one and one[0].end <= found.watermark:
            return one[0]
    raise IntervalError(f"no interval of {contract.type} is complete and not final", "wait")
