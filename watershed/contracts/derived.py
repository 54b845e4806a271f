"""Names that are derived from a contract: of its tables, views and their columns, in every store.

They are known here, before anything is made, so that two contracts that would need one name for
two things are refused while they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from watershed.contracts.model import BATCH_COLUMNS, UNMATCHED, Contract

EVENT_COUNT = "event_count"
RECORD = ("topic_id", "kafka_partition", "kafka_offset")
"""What names a record: columns of the raw table, of the facts, and of the quarantine."""

PIPELINE = (UNMATCHED, "interval_start", "arrival_time", *RECORD, "payload_hash")
"""Columns that every fact table has beside the contract's fields and columns."""

POSITION = ("position", "opening", "final", "live", EVENT_COUNT)
CLOCK = ("final_until", "final_age", "live_until", "live_age")
NAME_BYTES = 63
"""PostgreSQL cuts longer names, so that two may become one."""

SHARED = {
    "cassandra": {"quarantine": "the quarantine"},
    "report": {"interval": "the ledger of all types"},
    "lake": {"reference": "the snapshots of reference data"},
}
"""Names that Watershed itself takes, by the space that they are in."""

_CREATED = re.compile(
    r"^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:UNIQUE\s+|UNLOGGED\s+|MATERIALIZED\s+|RECURSIVE\s+)*"
    r"(?:TABLE|VIEW|INDEX|SEQUENCE|TYPE|FUNCTION|PROCEDURE)\s+"
    r"(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?:report\.)?\"?(\w+)",
    re.IGNORECASE | re.MULTILINE,
)


def names(contract: Contract) -> dict[str, dict[str, str]]:
    """Every name that the contract's tables, views and indexes have, with what it names, by space.

    A space is one in which a name may be there once: Cassandra's keyspace, a schema of
    PostgreSQL's, the lake's folder.
    """
    kind = contract.type
    spaces = {
        "cassandra": {
            kind: "raw events",
            f"critical_{kind}": "critical events",
            f"critical_{kind}_bucket": "the buckets of critical events",
        },
        "speed": {
            f"{kind}_flow": "the flow",
            f"{kind}_flow_pkey": "the key of the flow",
            f"{kind}_position": "the position",
            f"{kind}_position_pkey": "the key of the position",
        },
        "lake": {kind: "exported days"},
    }
    if contract.report:
        spaces["report"] = {
            kind: "facts",
            **{f"{kind}_{suffix}": what for suffix, what in RELATIONS.items()},
        }
    return spaces


RELATIONS = {
    "interval": "sums by interval",
    "hourly": "sums by hour and interval",
    "final": "running totals",
    "opening": "opening balances",
    "by_hour": "sums by hour",
    "position": "the position",
    "position_by_group": "the position by group",
    "position_at": "the position at a time",
    "final_position": "the position of what is final",
    "reconciliation": "batch beside flow",
    "interval_start": "an index of the facts",
    "event_time": "an index of the facts",
    "pkey": "the key of the facts",
    "interval_pkey": "the key of sums by interval",
    "final_pkey": "the key of running totals",
    "opening_pkey": "the key of opening balances",
    "hourly_interval_start": "an index of sums by hour",
    "interval_unexplained": "an index of sums by interval",
}
"""What schema ``report`` has of a contract beside its facts, by the end of the name."""


def columns(contract: Contract) -> dict[str, tuple[str, ...]]:
    """The columns of what schema ``report`` has of a contract, by the end of the name."""
    measure, field = contract.measure
    groups, fields = tuple(contract.flow.group_by), tuple(contract.flow.group_by.values())
    hourly = contract.hourly
    position = tuple(contract.flow.group_by[column] for column in contract.position.group_by)
    compared = ("batch", "flow", "drift", "duplicate", "unexplained")
    return {
        "": (*contract.columns, *PIPELINE),
        "interval": (
            "interval_start", *groups, measure, EVENT_COUNT, f"duplicate_{measure}",
            "duplicate_count", f"flow_{measure}", "flow_count",
        ),
        "hourly": ("interval_start", "event_hour", *hourly.group_by, *hourly.sum, EVENT_COUNT),
        "final": ("arrival_day", *groups, measure, EVENT_COUNT),
        "opening": (*groups, measure, EVENT_COUNT, "note"),
        "by_hour": ("event_hour", *hourly.group_by, *hourly.sum, EVENT_COUNT),
        "position": (*position, *POSITION, *CLOCK),
        "position_by_group": (*fields, *POSITION),
        "position_at": (*position, "position", EVENT_COUNT, "is_final"),
        "final_position": (*position, "position", EVENT_COUNT, "final_until"),
        "reconciliation": (
            "interval_start", "interval_end", *fields,
            *(f"{what}_{of}" for what in compared for of in (field, "count")),
        ),
    }  # fmt: skip


def created(report_sql: str) -> Iterator[tuple[int, str]]:
    """The line and name of what a ``report.sql`` creates in schema ``report``."""
    for found in _CREATED.finditer(report_sql):
        yield report_sql.count("\n", 0, found.start(1)) + 1, found[1].lower()


def clashes(
    contract: Contract, taken: Mapping[tuple[str, str], str]
) -> Iterator[tuple[str, str, str]]:
    """``(name, what it names, what has it already)`` of the contract's names that are taken.

    ``taken`` has what a name in a space stands for.
    """
    for space, of in names(contract).items():
        for name, what in of.items():
            if other := SHARED.get(space, {}).get(name) or taken.get((space, name)):
                yield name, what, other


def taken_by(contract: Contract, more: Iterable[str] = ()) -> Iterator[tuple[tuple[str, str], str]]:
    """What the contract takes, as :func:`clashes` reads it; ``more`` has its ``report.sql``."""
    for space, of in names(contract).items():
        for name, what in of.items():
            yield (space, name), f"{what} of {contract.type}"
    for name in more:
        yield ("report", name), f"what schemas/{contract.type}/report.sql creates"


def event_columns(contract: Contract) -> tuple[str, ...]:
    """The columns of the view ``event``, which ``enrich.sql`` reads."""
    return (*contract.fields, *RECORD, "arrival_time", *BATCH_COLUMNS, "kafka_time", "extra")
