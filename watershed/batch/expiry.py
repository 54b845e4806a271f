"""From where on raw events are there to be read again, whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.errors import IntervalError

EXPIRY_MARGIN = timedelta(hours=1)
"""So long before raw rows expire, their interval is no longer read again."""

LONGEST_RUN = timedelta(hours=3)
"""What expires sooner is not begun where there is a choice: it could not be published."""


def readable_from(connection: Connection, contract: Contract) -> datetime:
    """From where on intervals can be made again exactly, in this connection's transaction: raw
    rows have not expired, and facts that they may repeat were not pruned."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT greatest(clock_timestamp() - make_interval(days => %s) + %s,"
        " pruned_until + make_interval(hours => %s)) FROM control.stream WHERE type = %s",
        [contract.retention.ttl_days, EXPIRY_MARGIN, contract.lookback_hours, contract.type],
    )
    [found] = cursor.fetchone() or [datetime.max.replace(tzinfo=UTC)]
    return found


def check_readable(connection: Connection, contract: Contract, start: datetime) -> None:
    """Raise IntervalError when what begins at ``start`` cannot be made again exactly."""
    first = readable_from(connection, contract)
    if start < first:
        raise IntervalError(
            f"{contract.type}: raw events from before {first:%Y-%m-%d %H:%M} have expired, or facts"
            f" that they may repeat were pruned: {start:%Y-%m-%d %H:%M} cannot be made again",
            f"begin later; if that was never final, ./ws skip-interval {contract.type} START"
            " goes past it, and its sums stay those of the flow",
        )
