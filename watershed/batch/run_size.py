"""How much of a range one run finalizes: as many of its first intervals as a Spark job does well.

Its time, and the room that it takes on the disk, grow with the events. Without a bound a long
outage would be one run that never ends in time, begun again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from psycopg2.extensions import connection as Connection

from watershed.batch import intervals
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.errors import IntervalError
from watershed.speed import time_index


def portion(
    connection: Connection, contract: Contract, whole: Interval, interval_s: int, most: int
) -> Interval:
    """The first intervals of a range that is not final, one at least, with ``most`` events or
    fewer; in this connection's transaction."""
    full_at = time_index.full_at(connection, contract.type, *whole, most)
    if full_at is None:
        return whole
    line = max(whole.start + timedelta(seconds=interval_s), full_at)
    return Interval(whole.start, min(intervals.floor(line, interval_s), whole.end))


def refuse_large(
    connection: Connection, contract: Contract, parts: Sequence[Interval], most: int
) -> None:
    """Raise IntervalError where several intervals have more than ``most`` events; in this
    connection's transaction."""
    whole = Interval(parts[0].start, parts[-1].end)
    full_at = time_index.full_at(connection, contract.type, *whole, most)
    if full_at is None or len(parts) == 1:
        return
    raise IntervalError(
        f"{contract.type}: {whole} has more events than one run finalizes, {most:,}",
        f"take it in parts, the first up to {_fits(parts, full_at):%Y-%m-%dT%H:%MZ};"
        f" ./ws rebuild report {contract.type} takes everything, in parts of its own",
    )


def _fits(parts: Sequence[Interval], full_at: datetime) -> datetime:
    """Where the last interval ends that is complete by then, or the first."""
    return max([parts[0].end, *(one.end for one in parts if one.end <= full_at)])
