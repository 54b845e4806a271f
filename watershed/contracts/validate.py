"""Whether a record's value is a valid event: the Python twin of the stream's validation.

Producers, the API and tests ask here; the stream asks the JVM. Both follow the coercion table in
``docs/contracts.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

from watershed.contracts.model import Contract, Field
from watershed.contracts.reasons import Reason

MAX_EVENT_BYTES = 1_048_576
MAX_KEPT_BYTES = 8 * MAX_EVENT_BYTES
"""What quarantine keeps of a record: a batch of Kafka may be small, and huge once unpacked, and
Cassandra takes no write beyond 16 MiB."""

MAX_DEPTH = 500
"""Levels of arrays and objects, the event's own included: half of what either parser takes."""

MAX_SCIENTIFIC = 1000
"""Characters of a number with an exponent. That and an exponent of at most three digits bound the
time and memory that exact arithmetic costs on either side."""

MAX_MATCHED = 256
"""Characters of a string with a pattern: a group repeated 2000 times ended the stack of a JVM."""

EXCERPT_LENGTH = 80

UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MONEY = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,3})?"
    r"(?:Z|[+-](?:(?:0[0-9]|1[0-7]):[0-5][0-9]|18:00))"  # java.time ends at 18 hours
)
_UNBOUNDED = re.compile(rf"[eE][+-]?[0-9]{{4}}|\A(?=.{{{MAX_SCIENTIFIC + 1}}}).*[eE]")
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2}))|\\."
)

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|[\]}]')

_ABSENT = object()
_Check = Callable[[Any], Reason | None]


class _Number(str):
    """A JSON number as written: exact, and of any length."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an event is refused; ``detail`` names the field and a short excerpt of its value."""

    reason: Reason
    detail: str


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# An object becomes a tuple of pairs: unlike a dict it keeps repeated keys, and no array is one.
_DECODER = json.JSONDecoder(
    parse_float=_Number,
    parse_int=_Number,
    parse_constant=_refuse_constant,
    object_pairs_hook=tuple,
)


class Validator:
    """Judges values of one contract's topic; keeps no state between them."""

    def __init__(self, contract: Contract) -> None:
        self._fields = [
            (name, field.required, field.nullable, _check(field))
            for name, field in contract.fields.items()
        ]

    def reject(self, value: bytes | None) -> Rejection | None:
        """The first reason to refuse a Kafka record's value, None if it is a valid event.

        Never raises: whatever the bytes are, they are judged.
        """
        event = _event(value)
        if isinstance(event, Rejection):
            return event
        for name, required, nullable, check in self._fields:
            found = event.get(name, _ABSENT)
            if found is _ABSENT:
                reason = Reason.MISSING_FIELD if required else None
            elif found is None:
                reason = None if nullable else Reason.MISSING_FIELD
            else:
                reason = check(found)
            if reason is not None:
                return Rejection(reason, f"{name}: {_excerpt(found)}")
        return None


def longest(field: Field) -> int | None:
    """How many characters a string may have; None if any."""
    if field.pattern is None:
        return field.max_length
    return min(field.max_length or MAX_MATCHED, MAX_MATCHED)


def _event(value: bytes | None) -> dict[str, Any] | Rejection:
    if value is None:
        return Rejection(Reason.NULL_VALUE, "the record has no value")
    if len(value) > MAX_EVENT_BYTES:
        return Rejection(Reason.OVERSIZE, f"{len(value)} bytes")
    try:
        text = value.decode()
        pairs = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        return Rejection(Reason.NOT_UTF8, f"byte {error.start}: {error.reason}")
    except (ValueError, RecursionError) as error:
        return Rejection(Reason.NOT_JSON, str(error)[:EXCERPT_LENGTH])
    if _too_deep(text):
        return Rejection(Reason.NOT_JSON, f"nested in more than {MAX_DEPTH} levels")
    if "\\u" in text and (escape := _unstorable(text)):
        return Rejection(Reason.NOT_JSON, f"no store keeps this as text: {escape}")
    if not isinstance(pairs, tuple):
        return Rejection(Reason.NOT_JSON, f"not an object: {_excerpt(pairs)}")
    return _unique(pairs)


def _too_deep(text: str) -> bool:
    """Whether a JSON text is nested in more than MAX_DEPTH levels."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += 1 if found[1] else -1 if found[0] in "]}" else 0
        if depth > MAX_DEPTH:
            return True
    return False


def _unstorable(text: str) -> str | None:
    """The first escape that is half a surrogate pair, or U+0000, which PostgreSQL refuses."""
    return next((found[1] for found in _ESCAPES.finditer(text) if found[1]), None)


def _unique(pairs: tuple[tuple[str, Any], ...]) -> dict[str, Any] | Rejection:
    event = dict(pairs)
    if len(event) == len(pairs):
        return event
    keys = [key for key, _ in pairs]
    repeated = next(key for key in keys if keys.count(key) > 1)
    return Rejection(Reason.DUPLICATE_KEY, _excerpt(repeated))


def _excerpt(value: object) -> str:
    if value is _ABSENT:
        return "absent"
    if isinstance(value, list | tuple):
        return "an array" if isinstance(value, list) else "an object"
    if isinstance(value, _Number):
        return value[:EXCERPT_LENGTH]
    short = value[:EXCERPT_LENGTH] if isinstance(value, str) else value
    return json.dumps(short, ensure_ascii=False)[:EXCERPT_LENGTH]


def _check(field: Field) -> _Check:
    match field.kind:
        case "string":
            return _string(field)
        case "boolean":
            return lambda value: None if type(value) is bool else Reason.MISTYPED_FIELD
        case "uuid":
            return _uuid
        case "timestamp":
            return _timestamp
        case _:
            return _number(field)


def _string(field: Field) -> _Check:
    allowed = None if field.enum is None else frozenset(field.enum)
    most = longest(field)
    pattern = None if field.pattern is None else re.compile(field.pattern, re.ASCII)

    def check(value: Any) -> Reason | None:
        if type(value) is not str:
            return Reason.MISTYPED_FIELD
        if allowed is not None and value not in allowed:
            return Reason.OUT_OF_ENUM
        if most is not None and len(value) > most:
            return Reason.OUT_OF_RANGE
        if pattern is not None and not pattern.fullmatch(value):
            return Reason.PATTERN_MISMATCH
        return None

    return check


def _uuid(value: Any) -> Reason | None:
    return None if type(value) is str and UUID.fullmatch(value) else Reason.MISTYPED_FIELD


def _timestamp(value: Any) -> Reason | None:
    if type(value) is not str:
        return Reason.MISTYPED_FIELD
    if not TIMESTAMP.fullmatch(value):
        return Reason.UNPARSABLE_TIME
    try:
        datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return Reason.UNPARSABLE_TIME
    return None


def _number(field: Field) -> _Check:
    as_text = field.decimal is not None
    as_double = field.kind == "double"
    bounds = (field.minimum, field.maximum)
    low, high = (None if bound is None else _rounded(bound, as_double) for bound in bounds)

    def check(value: Any) -> Reason | None:
        is_text = as_text and type(value) is str and MONEY.fullmatch(value)
        if type(value) is not _Number and not is_text:
            return Reason.MISTYPED_FIELD
        if _UNBOUNDED.search(value) or not field.holds(exact := Decimal(value)):
            return Reason.LOSSY_NUMBER
        number = _rounded(exact, as_double)
        if (low is not None and number < low) or (high is not None and number > high):
            return Reason.OUT_OF_RANGE
        return None

    return check


def _rounded(number: Decimal, as_double: bool) -> Decimal:
    return Decimal(float(number)) if as_double else number
