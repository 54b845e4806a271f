"""What a contract says, as frozen models: the shape of ``schemas/<type>/contract.yaml``.

A model alone checks one value at a time; ``rules`` checks what several values say together.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Strict
from pydantic import Field as Limits
from pydantic.types import StringConstraints

RESERVED = (
    "topic_id",
    "kafka_partition",
    "offset_block",
    "kafka_offset",
    "kafka_time",
    "arrival_time",
    "extra",
    "age_s",
    "ttl",
    "writetime",
)
"""The raw table's own columns and what is written beside them: no field may be named so."""

BATCH_COLUMNS = ("interval_start", "payload_hash", "is_first")
"""What the batch layer says of an event: no field of a contract with a report is named so."""

UNMATCHED = "unmatched"
"""The column of facts that names the references which have no row for an event; as above."""

_WORDS = """
add all allow alter analyse analyze and any apply array as asc asymmetric authorization authorize
batch begin binary both by case cast check collate collation column columnfamily concurrently
constraint create cross current_catalog current_date current_role current_schema current_time
current_timestamp current_user default deferrable delete desc describe distinct do drop else end
entries except execute false fetch for foreign freeze from full grant group having if ilike in
index infinity initially inner insert intersect into is isnull join keyspace lateral leading left
like limit localtime localtimestamp materialized mbean mbeans modify nan natural norecursive not
notnull null of offset on only or order outer overlaps placing primary references rename replace
returning revoke right schema select session_user set similar some symmetric system_user table
tablesample then to token trailing true truncate union unique unlogged unset update use user using
variadic verbose view when where window with
"""
RESERVED_WORDS = frozenset(_WORDS.split())
"""Words that Cassandra 5 or PostgreSQL 18 do not take as a column name without quotes."""

TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,200}")
DECIMAL = re.compile(r"decimal\(([0-9]{1,2}),([0-9]{1,2})\)")
INT64 = (-(2**63), 2**63 - 1)


def _unreserved(name: str) -> str:
    if name in RESERVED_WORDS:
        raise ValueError(f"choose another name: {name} is a reserved word of SQL or CQL")
    return name


def _exact(value: object) -> Decimal:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise ValueError("write a plain decimal number, without quotes")


def decimal_of(type_name: str) -> tuple[int, int] | None:
    """``(precision, scale)`` of ``decimal(p,s)``; None of another type."""
    found = DECIMAL.fullmatch(type_name)
    return (int(found[1]), int(found[2])) if found else None


def _given(value: object) -> object:
    if value is None:
        raise ValueError("write `report: {}`, or take it out: without it there is no batch layer")
    return value


Identifier = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$"), AfterValidator(_unreserved)
]
"""A name that is safe, unquoted, in CQL, SQL, Redis keys and Spark SQL alike."""

TypeName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$"), AfterValidator(_unreserved)
]
"""An event type: tables are named after it, and Cassandra ends a table's name at 48 letters."""

Bound = Annotated[Decimal, BeforeValidator(_exact)]
"""A number without binary rounding: a float is refused, since money is never one."""

Positive = Annotated[int, Strict(), Limits(ge=1)]
Days = Annotated[int, Strict(), Limits(ge=1, le=7300)]
"""Cassandra's longest TTL is 20 years."""


class Frozen(BaseModel):
    """What is read of a file: never changed, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Topic(Frozen):
    """The Kafka topic that carries the events."""

    name: Annotated[str, StringConstraints(pattern=rf"^{TOPIC_NAME.pattern}$")]
    partitions: Annotated[int, Strict(), Limits(ge=1, le=1000)] = 3
    retention_hours: Positive = 168


class Field(Frozen):
    """One scalar field of the event's JSON object.

    ``type`` is ``string``, ``uuid``, ``boolean``, ``integer`` (64 bits), ``double``,
    ``timestamp`` (RFC 3339 with offset, at most milliseconds) or ``decimal(p,s)``.
    """

    type: Annotated[
        str,
        StringConstraints(
            pattern=r"^(string|uuid|boolean|integer|double|timestamp"
            r"|decimal\([0-9]{1,2},[0-9]{1,2}\))$"
        ),
    ]
    description: str
    required: Annotated[bool, Strict()] = True
    nullable: Annotated[bool, Strict()] = False
    enum: tuple[str, ...] | None = None
    minimum: Bound | None = None
    maximum: Bound | None = None
    pattern: str | None = None
    max_length: Positive | None = None

    @property
    def kind(self) -> str:
        """The type's name without its parameters: ``decimal`` for ``decimal(18,2)``."""
        return self.type.partition("(")[0]

    @property
    def decimal(self) -> tuple[int, int] | None:
        """``(precision, scale)`` of a decimal field, else None."""
        return decimal_of(self.type)

    def holds(self, number: Decimal) -> bool:
        """Whether this numeric type takes the number without loss.

        Zeros at the end of a fraction are no loss; neither is rounding to the nearest double.
        """
        if self.kind == "double":
            return abs(float(number)) < float("inf")
        if self.decimal is None:
            return INT64[0] <= number <= INT64[1] and number == int(number)
        precision, scale = self.decimal
        _, digits, exponent = number.as_tuple()
        if not number or not isinstance(exponent, int):
            return not number
        excess = -exponent - scale
        return number.adjusted() < precision - scale and (excess <= 0 or not any(digits[-excess:]))


class Critical(Frozen):
    """Which events are worth seeing at once, and how many of them the cache keeps."""

    when: str
    bucket_hours: Positive = 24
    keep: Positive = 100


class Flow(Frozen):
    """The speed layer's sums: one measure per window of arrival time and group."""

    window_s: Annotated[int, Strict(), Limits(ge=1, le=3600)] = 2
    window_column: Identifier = "window_start"
    group_by: Annotated[dict[Identifier, Identifier], Limits(min_length=1)]
    sum: Annotated[dict[Identifier, Identifier], Limits(min_length=1, max_length=1)]


class Position(Frozen):
    """The running sum of the flow's measure over some of the flow's groups."""

    group_by: Annotated[tuple[Identifier, ...], Limits(min_length=1)]


class Retention(Frozen):
    """How long rows live, in days."""

    ttl_days: Days = 400
    quarantine_ttl_days: Days = 30


class Column(Frozen):
    """A column that ``enrich.sql`` adds to the facts, where it may be null."""

    type: Annotated[
        str,
        StringConstraints(
            pattern=r"^(string|uuid|boolean|integer|double|timestamp|date"
            r"|decimal\([0-9]{1,2},[0-9]{1,2}\))$"
        ),
    ]
    description: str


class Hourly(Frozen):
    """The hourly aggregates: columns of the facts."""

    group_by: Annotated[tuple[Identifier, ...], Limits(min_length=1)]
    sum: Annotated[tuple[Identifier, ...], Limits(min_length=1)]


class Report(Frozen):
    """What the batch layer makes of the events.

    ``columns`` are those that ``enrich.sql`` beside the contract adds to the fields. ``hourly`` is
    None where it is by the flow's groups, of its measure. ``unmatched_max`` is the share of an
    attempt's events that may find no row in a reference.
    """

    columns: dict[Identifier, Column] = {}
    hourly: Hourly | None = None
    unmatched_max: dict[Identifier, Annotated[Bound, Limits(ge=0, le=1)]] = {}


class Contract(Frozen):
    """One event type; see ``docs/contracts.md`` for each key."""

    type: TypeName
    version: Positive
    description: str
    topic: Topic
    fields: dict[Identifier, Field]
    event_id: Identifier
    event_time: Identifier
    entity: Identifier
    critical: Critical
    flow: Flow
    position: Position
    retention: Retention = Retention()
    lookback_hours: Positive = 24
    ahead_max_s: Annotated[int, Strict(), Limits(ge=0)] = 300
    references: tuple[Identifier, ...] = ()
    report: Annotated[Report | None, BeforeValidator(_given)] = None

    @property
    def measure(self) -> tuple[str, str]:
        """``(column, field)`` that the flow sums."""
        return next(iter(self.flow.sum.items()))

    @property
    def columns(self) -> dict[str, Field | Column]:
        """What the facts have of an event: the fields, and what ``enrich.sql`` adds."""
        columns: dict[str, Field | Column] = dict(self.fields)
        return columns | (self.report.columns if self.report else {})

    @property
    def hourly(self) -> Hourly:
        """By what the hourly aggregates of the report are divided, and what they sum up."""
        if self.report and self.report.hourly:
            return self.report.hourly
        groups = tuple(dict.fromkeys(self.flow.group_by.values()))
        return Hourly(group_by=groups, sum=(self.measure[1],))
