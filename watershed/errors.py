"""The errors Watershed raises on purpose.

WatershedError            cause and remedy, secret-free; the command line prints it and exits 1
├── SettingsError         a setting is missing or malformed
├── ContractError         a contract cannot be used: file, line, cure
├── StackError            a local server could not be installed, started or stopped
├── StoreError            a store is not as it must be (a foreign table, a missing role)
├── ReplayError           a quarantined record is not sent again
├── IntervalError         a range of arrival time cannot be made final as asked
├── AttemptError          an attempt at intervals may not go on: a newer one, or lost staging rows
├── SparkEndedError       Spark's JVM is gone: the process must be started again
├── LeaseHeldError        another application streams this contract
├── OvertakenError        another writer was first: start again from the commit
└── ProgressError         going on would lose or repeat events: a person must decide
"""

from __future__ import annotations


class WatershedError(Exception):
    """An error a person can act on.

    ``cause`` says what is wrong, ``remedy`` what to do about it; both without secrets.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        self.cause = cause
        self.remedy = remedy
        super().__init__(f"{cause}\n  -> {remedy}" if remedy else cause)


class SettingsError(WatershedError):
    """A setting is missing or malformed."""


class ContractError(WatershedError):
    """A contract cannot be used; the cause starts with ``file:line``."""


class StackError(WatershedError):
    """A local server could not be installed, started or stopped."""


class StoreError(WatershedError):
    """A store is not as it must be."""


class ReplayError(WatershedError):
    """A quarantined record is not sent again: there is none, it is invalid, or it was sent."""


class IntervalError(WatershedError):
    """A range of arrival time cannot be made final, or skipped, as asked."""


class AttemptError(WatershedError):
    """An attempt may not go on: a newer one overlaps it, or what it loaded is not there."""


class SparkEndedError(WatershedError):
    """Spark's JVM is gone: the process must be started again."""


class LeaseHeldError(WatershedError):
    """Another application streams this contract."""


class OvertakenError(WatershedError):
    """Another writer was first, or a partition is new: start again from the commit."""


class ProgressError(WatershedError):
    """Going on would lose or repeat events: the remedy names the command that decides."""
