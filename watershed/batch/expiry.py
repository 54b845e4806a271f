"""Expiry of raw events: from where on intervals can be made again, whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg2.extensions import cursor as Cursor

from watershed.contracts.model import Contract
from watershed.errors import IntervalError

EXPIRY_MARGIN = timedelta(hours=1)
"""So long before raw rows expire, their interval is no longer read again."""

LONGEST_RUN = timedelta(hours=3)
"""What expires sooner is not begun where there is a choice: it could not be published."""


def readable_from(cursor: Cursor, contract: Contract) -> datetime:
    """From where on intervals can be made again exactly: raw rows have not expired, and facts
    that they may repeat were not pruned."""
    cursor.execute(
        "SELECT greatest(clock_timestamp() - make_interval(days => %s) + %s,"
        " pruned_until + make_interval(hours => %s)) FROM control.stream WHERE type = %s",
        [contract.retention.ttl_days, EXPIRY_MARGIN, contract.lookback_hours, contract.type],
    )
    [found] = cursor.fetchone() or [datetime.max.replace(tzinfo=UTC)]
    return found


def check_readable(event_type: str, start: datetime, readable_from: datetime) -> None:
    """Raise IntervalError when what begins at ``start`` cannot be made again exactly."""
    if start < readable_from:
        raise IntervalError(
            f"{event_type}: raw events from before {readable_from:%Y-%m-%d %H:%M} have expired, or"
            f" facts that they may repeat were pruned: {start:%Y-%m-%d %H:%M} cannot be made again",
            f"begin later; if that was never final, ./ws skip-interval {event_type} START"
            " goes past it, and its sums stay those of the flow",
        )
