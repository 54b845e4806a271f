"""What the values of one contract must say together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import NamedTuple

from watershed.contracts import derived
from watershed.contracts.model import (
    BATCH_COLUMNS,
    RESERVED,
    UNMATCHED,
    Contract,
    Field,
    decimal_of,
)
from watershed.contracts.predicate import fault

MEASURE_PRECISION = 28  # Spark sums decimal(p,s) as decimal(p+10,s), and stops at 38

READ_DIGITS = (20, 18)  # the connector reads every CQL decimal as decimal(38,18)
HOURLY_COLUMNS = ("interval_start", "event_hour", derived.EVENT_COUNT)
EXACT = ("string", "uuid", "boolean", "integer", "timestamp", "date", "decimal")
HOURLY_TYPES = {"group_by": EXACT, "sum": ("decimal", "integer")}
EVENT = "event"
"""The batch layer's view of the events; references are views beside it."""

_ESCAPE = r"\\[\\^$.*+?()\[\]{}|/dw]"
_MEMBER = rf"(?:[^\\\[\]^&~|-]|{_ESCAPE}|\\-)"
_ATOM = rf"(?:[^\\\[\](){{}}.*+?^$|]|{_ESCAPE}|\[\^?(?:{_MEMBER}(?:-{_MEMBER})?)+-?\]|\))"
_SHARED_REGEX = re.compile(rf"(?:{_ATOM}(?:[*+?]|\{{[0-9]+(?:,[0-9]*)?\}})?|\((?:\?:)?|\|)*")
_REGEX_CURE = (
    r"use literals, classes like [^,] or \d, groups, | and * + ? {m,n}; escape punctuation with \; "
    "the whole value is matched, so leave out ^ and $"
)


class Mistake(NamedTuple):
    """``at``: the keys that lead to the value; ``what`` is wrong; ``cure``: what to write."""

    at: tuple[str | int, ...]
    what: str
    cure: str


def nearest(name: str, known: Iterable[str]) -> str:
    """A cure for an unknown name: the known one it resembles, or all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean `{close[0]}`?" if close else f"allowed: {', '.join(names)}"


def mistakes(contract: Contract) -> Iterator[Mistake]:
    """Every mistake that no single value shows, in the order of the contract's keys."""
    for name, what, other in derived.clashes(contract, {}):
        yield clash(name, what, other)
    for name, field in contract.fields.items():
        for key, what, cure in _field(name, field):
            yield Mistake(("fields", name, *key), f"`{name}` {what}", cure)
    yield from _roles(contract)
    yield from _flow(contract)
    if found := fault(contract.critical.when, contract.fields):
        yield Mistake(("critical", "when"), *found)
    yield from _references(contract)
    if contract.report:
        yield from _facts(contract)


def clash(name: str, what: str, other: str) -> Mistake:
    """Two things that would have one name."""
    return Mistake(
        ("type",), f"`{name}` would name its {what}, and names {other}", "choose another type"
    )


_FieldMistakes = Iterator[tuple[tuple[str, ...], str, str]]


def _field(name: str, field: Field) -> _FieldMistakes:
    if name in RESERVED:
        yield (), "is a column of the raw table itself", f"do not name a field {RESERVED}"
    precision, scale = field.decimal or (1, 0)
    if not (1 <= precision <= 38 and scale <= precision):
        yield ("type",), f"is {field.type}", "decimal(p,s) needs 1 <= p <= 38 and s <= p"
        return
    yield from _text(field)
    yield from _bounds(field)


def _text(field: Field) -> _FieldMistakes:
    for key in ("enum", "pattern", "max_length"):
        if getattr(field, key) is not None and field.kind != "string":
            yield (key,), f"has `{key}` but is {field.type}", f"`{key}` is for strings: remove it"
    if field.enum is not None and (not field.enum or len(set(field.enum)) < len(field.enum)):
        yield ("enum",), "has an empty or repeating `enum`", "list each value once, at least one"
    if field.pattern is not None and not is_shared_regex(field.pattern):
        yield (
            ("pattern",),
            f"has a `pattern` that Java and Python may read differently: {field.pattern}",
            _REGEX_CURE,
        )


def is_shared_regex(pattern: str) -> bool:
    r"""Whether Java, Python (``re.ASCII``) and JSON Schema read the pattern alike.

    Shared are: literal characters; escaped punctuation, ``\d`` and ``\w`` (ASCII); character
    classes without nesting or set operators; groups, capturing or ``(?:...)``; ``|``; greedy
    ``*``, ``+``, ``?``, ``{m}``, ``{m,}``, ``{m,n}``. Not shared, hence refused: ``.`` ``^`` ``$``
    ``\s`` ``\b`` (the three differ on line ends and Unicode), lazy and possessive quantifiers,
    look-around, back-references, flags. A pattern always matches a whole value.
    """
    if not _SHARED_REGEX.fullmatch(pattern):
        return False
    try:
        re.compile(pattern, re.ASCII)
    except re.error:
        return False
    return True


def _bounds(field: Field) -> _FieldMistakes:
    bounds = {k: v for k in ("minimum", "maximum") if (v := getattr(field, k)) is not None}
    for key, bound in bounds.items():
        if field.kind not in ("decimal", "integer", "double"):
            yield (key,), f"has `{key}` but is {field.type}", "bounds are for numbers: remove it"
        elif not field.holds(bound):
            yield (
                (key,),
                f"has a `{key}` that {field.type} cannot hold: {bound}",
                "write one it can",
            )
    if len(bounds) == 2 and bounds["minimum"] > bounds["maximum"]:
        yield ("minimum",), "has a `minimum` over its `maximum`", "exchange them"


def _roles(contract: Contract) -> Iterator[Mistake]:
    money = "declare it decimal(p,s) or integer: money is never double"
    (measure, measured), groups = contract.measure, contract.flow.group_by
    yield from _role(contract, ("event_id",), contract.event_id, ("string", "uuid"))
    yield from _role(contract, ("event_time",), contract.event_time, ("timestamp",))
    yield from _role(contract, ("entity",), contract.entity)
    for column, name in groups.items():
        yield from _role(contract, ("flow", "group_by", column), name, EXACT)
    yield from _role(contract, ("flow", "sum", measure), measured, ("decimal", "integer"), money)


def _role(
    contract: Contract, at: tuple[str, ...], name: str, kinds: tuple[str, ...] = (), cure: str = ""
) -> Iterator[Mistake]:
    role = ".".join(at)
    field = contract.fields.get(name)
    if field is None:
        yield Mistake(
            at, f"`{role}` names an undeclared field: {name}", nearest(name, contract.fields)
        )
        return
    if kinds and field.kind not in kinds:
        allowed = cure or f"name a field of type {' or '.join(kinds)}"
        yield Mistake(at, f"`{role}` names `{name}`, which is {field.type}", allowed)
    if field.nullable or not field.required:
        yield Mistake(
            at, f"`{role}` names `{name}`, which may be absent", "make it required and not nullable"
        )


def _flow(contract: Contract) -> Iterator[Mistake]:
    flow, (measure, measured) = contract.flow, contract.measure
    if 3600 % flow.window_s:
        yield Mistake(
            ("flow", "window_s"), f"`flow.window_s` is {flow.window_s}", "it must divide 3600"
        )
    taken = {"event_count"}
    for at in (("window_column",), *(("group_by", c) for c in flow.group_by), ("sum", measure)):
        column = flow.window_column if at == ("window_column",) else at[-1]
        if column in taken:
            yield Mistake(
                ("flow", *at), f"two columns of the flow are named `{column}`", "rename one"
            )
        taken.add(column)
    precision, _ = getattr(contract.fields.get(measured), "decimal", None) or (1, 0)
    if MEASURE_PRECISION < precision <= 38:
        yield Mistake(
            ("flow", "sum", measure),
            f"`{measured}` has {precision} digits, so its sum may not fit decimal(38)",
            f"declare it with at most {MEASURE_PRECISION}",
        )
    columns = contract.position.group_by
    for i, column in enumerate(columns):
        if column not in flow.group_by:
            what = f"`position.group_by` names `{column}`, which is no group of the flow"
            yield Mistake(("position", "group_by", i), what, nearest(column, flow.group_by))
        elif column in columns[:i]:
            what = f"`position.group_by` repeats `{column}`"
            yield Mistake(("position", "group_by", i), what, "list it once")


def _references(contract: Contract) -> Iterator[Mistake]:
    names = contract.references
    for i, name in enumerate(names):
        if name == EVENT or name in names[:i]:
            what = f"`references` {'repeats' if name != EVENT else 'names'} `{name}`"
            cure = "list it once" if name != EVENT else "the events have that name: choose another"
            yield Mistake(("references", i), what, cure)
    for name in contract.report.unmatched_max if contract.report else ():
        if name not in names:
            what = f"`report.unmatched_max` names `{name}`, which `references` does not"
            yield Mistake(("report", "unmatched_max", name), what, nearest(name, names))


def _facts(contract: Contract) -> Iterator[Mistake]:
    """What a field must be for the batch layer to read and to store it."""
    taken = (*BATCH_COLUMNS, UNMATCHED)
    whole, fraction = READ_DIGITS
    for name, field in contract.fields.items():
        if name in taken:
            what, cure = "is a column that facts have beside the fields", f"name no field {taken}"
            yield Mistake(("fields", name), f"`{name}` {what}", cure)
        precision, scale = field.decimal or (1, 0)
        if precision - scale > whole or scale > fraction:
            what = f"`{name}` is {field.type}, which the batch layer cannot read whole"
            cure = f"declare at most {whole} digits before the point and {fraction} after it"
            yield Mistake(("fields", name, "type"), what, cure)


def report_mistakes(contract: Contract, returned: Iterable[str]) -> Iterator[Mistake]:
    """What is wrong with ``report``, given the columns that ``enrich.sql`` returns."""
    yield from _added(contract, set(returned))
    yield from _hourly(contract)
    yield from _twice(contract)


def _added(contract: Contract, returned: set[str]) -> Iterator[Mistake]:
    """Columns that facts have beside the fields."""
    taken = {*derived.event_columns(contract), *derived.PIPELINE}
    for name, column in contract.report.columns.items() if contract.report else ():
        at = ("report", "columns", name)
        precision, scale = decimal_of(column.type) or (1, 0)
        if name in taken:
            yield Mistake(at, f"`{name}` is a column of every event", "choose another name")
        elif name not in returned:
            what = f"`report.columns` has `{name}`, which enrich.sql does not return"
            yield Mistake(at, what, "return it there, or take it out here")
        if not (1 <= precision <= 38 and scale <= precision):
            cure = "decimal(p,s) needs 1 <= p <= 38 and s <= p"
            yield Mistake((*at, "type"), f"`{name}` is {column.type}", cure)


def _hourly(contract: Contract) -> Iterator[Mistake]:
    types = {name: column.type for name, column in contract.columns.items()}
    seen = set(HOURLY_COLUMNS)
    for key in ("group_by", "sum"):
        for i, name in enumerate(getattr(contract.hourly, key)):
            at, role = ("report", "hourly", key, i), f"`report.hourly.{key}`"
            kind = types.get(name, "").partition("(")[0]
            if name in seen:
                cure = f"list it once, and none of {HOURLY_COLUMNS}"
                yield Mistake(at, f"{role} repeats `{name}`", cure)
            elif not kind:
                what = f"{role} names `{name}`, which is no column of the facts"
                yield Mistake(at, what, nearest(name, types))
            elif kind not in HOURLY_TYPES[key]:
                cure = f"name one of {', '.join(HOURLY_TYPES[key])}: the same facts must always"
                cure += " give the same sums"
                yield Mistake(at, f"{role} names `{name}`, which is {types[name]}", cure)
            seen.add(name)


def _twice(contract: Contract) -> Iterator[Mistake]:
    """Names that a derived table or view would have twice, each with the first of these."""
    first: dict[str, str] = {}
    for suffix, columns in derived.columns(contract).items():
        if suffix not in ("", "hourly", "by_hour"):
            repeated = {name for name in columns if columns.count(name) > 1}
            first = dict.fromkeys(sorted(repeated), suffix) | first
    by_field = {field: column for column, field in contract.flow.group_by.items()}
    for name, suffix in first.items():
        what = f"report.{contract.type}_{suffix} would have two columns `{name}`"
        at = ("flow", "group_by", by_field.get(name, name))
        yield Mistake(at, what, "rename it, and name each field once")
