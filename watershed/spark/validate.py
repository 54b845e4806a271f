"""Which records are valid events, decided in the JVM: the stream's side of the coercion table.

``from_json`` is a parser, not a validator: it takes ``"1,000"`` for 1000.00, the last of two equal
keys, the start of a text with garbage behind it, and money through a double. So a record is parsed
once, as a map of text, after two changes to its text that keep valid JSON valid and the rest
invalid:

* Numbers, ``true`` and ``false`` become strings marked by U+0000, so that their text comes through
  as written and apart from a string of the same text. Strings that begin like an array or object
  are marked too. U+0000 is free: an escape of it is refused.
* The text becomes the first of two elements of an array, whose second is a marked object. If the
  text were to end before its last character, the second element would not be the mark.

Columns of the result that are no field of the contract begin with ``_`` or are among RESERVED.
The session's time zone must be UTC, and ``spark.sql.ansi.enabled`` false.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from watershed.contracts.model import Contract, Field
from watershed.contracts.reasons import Reason
from watershed.contracts.validate import (
    EXCERPT_LENGTH,
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MAX_KEPT_BYTES,
    longest,
)
from watershed.spark.types import MARK, bound, matches, refusal, value

STRICT = {"allowNonNumericNumbers": "false", "allowSingleQuotes": "false"}
"""What Spark lets pass and JSON does not."""

_OPENING = r"[\[{]|\\u00[57][bB]"
_BETWEEN = r"[{}\[\]:, \t\n\rnul]*"
_REST = r'[^"\\]*(?:\\.[^"\\]*)*+'
_LITERAL = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false"
UNMARKED = (
    rf'(?s)\G({_BETWEEN}(?:"(?!{_OPENING}){_REST}"{_BETWEEN})*+)'
    rf'(?:({_LITERAL})(?=[ \t\n\r]*[,\]}}])|"((?:{_OPENING}){_REST})")'
)
"""What comes before a token to be marked (1), and the token: a literal (2), a string's text (3).

Groups repeat possessively here and below: others recurse in Java, and long texts end its stack.
"""

_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_UNSTORABLE = r"u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})"
UNSTORABLE = rf"(?s)\A(?:[^\\]++|{_PAIR}|\\(?!{_UNSTORABLE}).)*+\\{_UNSTORABLE}"
JACKSON_DEPTH = 1000
MANY_BRACKETS = rf"\A(?:[^\[{{]*+[\[{{]){{{MAX_DEPTH + 1}}}"
KAFKA, JUDGED = "kafka_time", "_judged_at"
EARLIEST, LATEST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"


def validated(records: DataFrame, contract: Contract) -> DataFrame:
    """Kafka records as typed events, or as rejections.

    In: ``key, value, kafka_partition, kafka_offset, kafka_time``, other columns are kept; event
    times are judged by ``_judged_at``, where there is one, instead of Kafka's.
    Out: these (``value`` only of rejections), ``_reason`` and ``_detail`` (null when valid), one
    column per field (null when invalid), ``extra``: the text if it has undeclared fields.
    """
    fields = contract.fields.items()
    values = [value(field, _token(name)).alias(_typed(name)) for name, field in fields]
    valid, refused = F.col("_fault").isNull(), F.col("_fault").isNotNull()
    reason = F.substring_index("_fault", ":", 1)
    # Each step reads the one before it more than once, so that Spark does not merge them.
    return (
        records.withColumn("_doc", _parsed())
        .select(*records.columns, "_doc", *values)
        .withColumn("_fault", _fault(contract, JUDGED if JUDGED in records.columns else KAFKA))
        .select(
            *[F.col(name) for name in records.columns if name != "value"],
            F.when(refused, F.col("value").substr(1, MAX_KEPT_BYTES)).alias("value"),
            reason.alias("_reason"),
            F.when(refused, _detail(reason)).alias("_detail"),
            F.when(valid & _has_undeclared(contract), _text()).alias("extra"),
            *[F.when(valid, F.col(_typed(name))).alias(name) for name in contract.fields],
        )
    )


def _parsed() -> Column:
    """The event as a map of tokens, with the mark behind it; anything else is not JSON."""
    framed = F.concat(F.lit("["), _marked(), F.lit(r',{"\u0000":""}]'))
    doc = F.from_json(framed, "array<map<string,string>>", STRICT)
    return F.when(F.octet_length("value") <= MAX_EVENT_BYTES, doc)


def _marked() -> Column:
    return F.regexp_replace(_text(), UNMARKED, r'$1"\\u0000$2$3"')


def _text() -> Column:
    return F.col("value").cast("string")


def _event() -> Column:
    return F.col("_doc")[0]


def _token(name: str) -> Column:
    return _event()[name]


def _typed(name: str) -> str:
    return f"_as_{name}"


def _fault(contract: Contract, clock: str) -> Column:
    """The first reason that applies and its field, ``reason:field``; null for a valid event."""
    size = F.octet_length("value")
    chosen = (
        F.when(F.col("value").isNull(), _code(Reason.NULL_VALUE))
        .when(size > MAX_EVENT_BYTES, _code(Reason.OVERSIZE))
        .when(F.decode("value", "UTF-8") != _text(), _code(Reason.NOT_UTF8))
        .when(_ends_early(), _code(Reason.NOT_JSON))
        .when(_is_unstorable(), _code(Reason.NOT_JSON))
        .when(_is_too_deep(), _code(Reason.NOT_JSON))
        .when(_repeats_key(contract), _code(Reason.DUPLICATE_KEY))
    )
    for name, field in contract.fields.items():
        chosen = chosen.when(_has_no_value(name, field), _why_none(name, field))
        for wrong, reason in _limits(name, field):
            chosen = chosen.when(wrong, _code(reason, name))
    early = _code(Reason.FUTURE_EVENT_TIME, contract.event_time)
    return chosen.when(_is_early(contract, clock), early)


def _code(reason: Reason, name: str = "") -> Column:
    return F.lit(f"{reason.value}:{name}")


def _ends_early() -> Column:
    """Whether the text is no JSON object, or one that ends before the mark begins."""
    doc = F.col("_doc")
    return _event().isNull() | doc[1][MARK].isNull() | (F.size(doc) > 2)


def _is_unstorable() -> Column:
    return _text().contains(r"\u") & _text().rlike(UNSTORABLE)


def _is_too_deep() -> Column:
    """Whether arrays around the text make it too deep for Jackson, which stops at 1000."""
    around = JACKSON_DEPTH - MAX_DEPTH
    deep = F.concat(F.lit("[" * around), _marked(), F.lit("]" * around))
    many = (F.octet_length("value") > 2 * MAX_DEPTH) & _text().rlike(MANY_BRACKETS)
    return many & F.from_json(deep, "array<string>", STRICT).isNull()


def _repeats_key(contract: Contract) -> Column:
    """Whether two keys are equal; there must be more keys than declared fields with a value."""
    keys = F.map_keys(_event())
    found = [_token(name).isNotNull().cast("int") for name in contract.fields]
    return (F.size(keys) > reduce(add, found)) & (F.size(F.array_distinct(keys)) < F.size(keys))


def _has_undeclared(contract: Contract) -> Column:
    """Whether a valid event has more keys than declared fields."""
    required = sum(field.required for field in contract.fields.values())
    optional = [n for n, field in contract.fields.items() if not field.required]
    found = [F.map_contains_key(_event(), name).cast("int") for name in optional]
    return F.size(_event()) > reduce(add, found, F.lit(required))


def _has_no_value(name: str, field: Field) -> Column:
    """Whether a value is missing, or what is there is none of the field's type."""
    nothing, something = F.col(_typed(name)).isNull(), _token(name).isNotNull()
    has_key = F.map_contains_key(_event(), name)
    match field.required, field.nullable:
        case True, False:
            return nothing
        case True, True:
            return nothing & (something | ~has_key)
        case False, False:
            return nothing & (something | has_key)
    return nothing & something


def _why_none(name: str, field: Field) -> Column:
    missing = F.when(_token(name).isNull(), Reason.MISSING_FIELD.value)
    return F.concat(missing.otherwise(refusal(field, _token(name))), F.lit(f":{name}"))


def _limits(name: str, field: Field) -> Iterator[tuple[Column, Reason]]:
    """What may be wrong with a value of the right type, in order of precedence."""
    typed = F.col(_typed(name))
    if field.kind == "double":
        yield F.abs(typed) == float("inf"), Reason.LOSSY_NUMBER
    if field.kind == "timestamp":
        yield typed < F.expr(f"timestamp '{EARLIEST}'"), Reason.UNPARSABLE_TIME
        yield typed > F.expr(f"timestamp '{LATEST}'"), Reason.UNPARSABLE_TIME
    if field.minimum is not None:
        yield typed < bound(field, field.minimum), Reason.OUT_OF_RANGE
    if field.maximum is not None:
        yield typed > bound(field, field.maximum), Reason.OUT_OF_RANGE
    if (most := longest(field)) is not None:
        yield F.length(typed) > most, Reason.OUT_OF_RANGE
    if field.pattern is not None:
        yield ~matches(typed, field.pattern), Reason.PATTERN_MISMATCH


def _is_early(contract: Contract, clock: str) -> Column:
    """Event time may run ahead of the broker's clock a little, not more."""
    ahead = F.unix_micros(_typed(contract.event_time)) - F.unix_micros(clock)
    return ahead > contract.ahead_max_s * 1_000_000


def _detail(reason: Column) -> Column:
    """The field's name or none, and a short excerpt that any store takes."""
    name = F.substring_index("_fault", ":", -1)
    token = F.coalesce(_excerpt(_event()[name]), F.lit("no value"))
    size = F.concat(F.octet_length("value"), F.lit(" bytes"))
    return (
        F.when(F.length(name) > 0, F.concat(name, F.lit(": "), token))
        .when(reason == Reason.OVERSIZE.value, size)
        .otherwise(F.coalesce(_excerpt(F.decode("value", "UTF-8")), F.lit("no value")))
    )


def _excerpt(text: Column) -> Column:
    return F.translate(text, MARK, "").substr(1, EXCERPT_LENGTH)
