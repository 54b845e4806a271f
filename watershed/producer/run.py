"""What every producer shares: the pace at which its records go out, and how it ends.

A source yields :class:`Record`; :func:`produce` paces them, hands them to a :class:`Delivery` and
ends the program. Nothing here knows an event type.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from time import monotonic

from watershed.errors import WatershedError
from watershed.producer.ack_log import Record
from watershed.producer.delivery import Delivery, say


def due_times(start: float, rate: float, count: int) -> Iterator[float]:
    """When each record is due, in the unit of ``start`` (s): an absolute schedule, so no drift.

    ``rate`` is in records per second, 0 for all at once; ``count`` 0 means without end.
    """
    for number in range(count) if count else itertools.count():
        yield start + number / rate if rate else start


def produce(records: Iterator[Record], delivery: Delivery, rate: float, count: int) -> int:
    """Send ``count`` records (0: until a signal) at ``rate`` per second (0: as fast as possible).

    Returns the exit code: 0 when every accepted record was acknowledged, else 1 with cause and
    remedy on stderr. A record is taken from ``records`` when it is due, not before.
    """
    # It logs every attempt to connect; what a person needs of that is said once, here.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    delivery.stop.listen(delivery.abandon)
    try:
        seconds = _run(records, delivery, rate, count) if delivery.connect() else 0.0
    except WatershedError as error:
        say(str(error))
        if delivery.pending:
            delivery.abandon()
        return 1
    print(summary(delivery.accepted, delivery.acknowledged, seconds), flush=True)
    return 0


def _run(records: Iterator[Record], delivery: Delivery, rate: float, count: int) -> float:
    start = monotonic()
    for due in due_times(start, rate, count):
        if not delivery.wait_until(due):
            break
        delivery.accept(next(records))
    delivery.drain()
    return monotonic() - start


def summary(accepted: int, acknowledged: int, seconds: float) -> str:
    """The last line of a producer."""
    per_second = acknowledged / seconds if seconds else 0.0
    return (
        f"accepted {accepted} acknowledged {acknowledged}"
        f" in {seconds:.1f} s: {per_second:.0f} events/s"
    )
