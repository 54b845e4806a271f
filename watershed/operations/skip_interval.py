"""``./ws skip-interval``: going past the interval that would be published next."""

from __future__ import annotations

from watershed.batch import ledger, plan
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.stores import postgres


def next_interval(settings: Settings, contract: Contract) -> Interval:
    """The interval that is to be published next. Raises IntervalError for none yet."""
    with postgres.connect(settings) as connection, postgres.transaction(connection) as cursor:
        frontier = ledger.frontier(cursor, contract, settings.batch_interval_s)
    return plan.next_interval(contract.type, frontier, settings.batch_interval_s)


def skip_interval(settings: Settings, contract: Contract, interval: Interval) -> None:
    """Go past an interval that cannot be published; logged. Raises IntervalError for another than
    the next one."""
    with postgres.connect(settings) as connection:
        ledger.skip(connection, contract, interval)
