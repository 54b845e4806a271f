"""Times since 1970 in UTC: exact, as Spark counts them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime.fromtimestamp(0, UTC)


def milliseconds(time: datetime) -> int:
    """Epoch milliseconds of a UTC time, with or without a zone; exact."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(milliseconds=1)


def floored(time: datetime, width_s: int) -> datetime:
    """The start of the window that a time falls into, as Spark counts: towards 1970."""
    seconds = (time - EPOCH) // timedelta(seconds=1)
    windows = seconds // width_s if seconds >= 0 else -(-seconds // width_s)
    return EPOCH + timedelta(seconds=windows * width_s)
