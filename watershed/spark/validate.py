"""Which records are valid events, decided in the JVM: the stream's side of the coercion table.

``from_json`` is a parser, not a validator: it takes ``"1,000"`` for 1000.00, the last of two equal
keys, the start of a text with garbage behind it. So a record is read three ways at once:

* ``_doc``, the text in brackets read as an array of text: null for anything that is not exactly
  one JSON value, else that value in Jackson's compact form, where a key ``k`` with a text value
  reads ``"k":"``;
* ``_map``, the top-level keys, repeated ones too, with their values' text;
* ``_typed``, the numbers and booleans, wider than declared.

Columns of the result that are no field of the contract begin with ``_`` or are among RESERVED.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from watershed.contracts.model import Contract, Field
from watershed.contracts.reasons import Reason
from watershed.contracts.validate import MAX_EVENT_BYTES
from watershed.spark.types import parse_type, spark_type

STRICT = {"allowNonNumericNumbers": "false", "allowSingleQuotes": "false"}
EXCERPT = 80
UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
MONEY = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?"
NUMBER = r"-?[0-9].*"


def validated(records: DataFrame, contract: Contract) -> DataFrame:
    """Kafka records as typed events, or as rejections.

    In: ``key, value, kafka_partition, kafka_offset, kafka_time``, other columns are kept.
    Out: these (``value`` only of rejections), ``_reason`` and ``_detail`` (null when valid), one
    column per field (null when invalid), ``extra``: the whole JSON when it has undeclared fields.
    """
    parsed = _parse(records, contract)
    judged = parsed.withColumn("_rejection", _rejection(contract))
    valid = F.col("_rejection").isNull()
    fields = [F.when(valid, _value(name, f)).alias(name) for name, f in contract.fields.items()]
    undeclared = F.size(F.array_except(F.map_keys("_map"), _names(contract))) > 0
    dropped = ("value", "_text", "_doc", "_map", "_typed", "_rejection")
    return judged.select(
        *[F.col(name) for name in judged.columns if name not in dropped],
        F.when(~valid, F.col("value")).alias("value"),
        F.col("_rejection.reason").alias("_reason"),
        F.col("_rejection.detail").alias("_detail"),
        F.when(valid & undeclared, F.col("_doc")[0]).alias("extra"),
        *fields,
    )


def _parse(records: DataFrame, contract: Contract) -> DataFrame:
    bracketed = F.concat(F.lit("["), F.col("_text"), F.lit("]"))
    typed = parse_type(contract)
    return (
        records.withColumn("_text", F.decode("value", "UTF-8"))
        .withColumn("_doc", F.from_json(bracketed, "array<string>", STRICT))
        .withColumn("_map", F.from_json("_text", "map<string,string>", STRICT))
        .withColumn("_typed", F.from_json("_text", typed, STRICT) if typed else F.lit(None))
    )


def _rejection(contract: Contract) -> Column:
    """The first reason that applies, as a struct of reason and detail; null for a valid event."""
    return F.coalesce(*_whole(), *_each_field(contract), _too_early(contract))


def _whole() -> Iterator[Column]:
    keys = F.map_keys("_map")
    yield _when(F.col("value").isNull(), Reason.NULL_VALUE, F.lit("a record without a value"))
    size = F.octet_length("value")
    yield _when(size > MAX_EVENT_BYTES, Reason.OVERSIZE, F.concat(size, F.lit(" bytes")))
    broken = F.encode("_text", "UTF-8") != F.col("value")
    yield _when(broken, Reason.NOT_UTF8, F.lit("bytes that are no text"))
    alone = F.coalesce(F.size("_doc") == 1, F.lit(False)) & F.col("_map").isNotNull()
    excerpt = F.substring("_text", 1, EXCERPT)
    yield _when(~alone, Reason.NOT_JSON, excerpt)
    repeated = F.size(keys) != F.size(F.array_distinct(keys))
    yield _when(repeated, Reason.DUPLICATE_KEY, F.array_join(keys, " "))


def _each_field(contract: Contract) -> Iterator[Column]:
    for name, field in contract.fields.items():
        text = F.col("_map")[name]
        yield _when(_missing(name, field), Reason.MISSING_FIELD, F.lit(name))
        for reason, wrong in _faults(name, field):
            detail = F.concat(F.lit(f"{name}: "), F.substring(text, 1, EXCERPT))
            yield _when(text.isNotNull() & wrong, reason, detail)


def _missing(name: str, field: Field) -> Column:
    there = F.array_contains(F.map_keys("_map"), name)
    empty = there & F.col("_map")[name].isNull()
    absent = ~there if field.required else F.lit(False)
    return absent if field.nullable else absent | empty


def _faults(name: str, field: Field) -> Iterator[tuple[Reason, Column]]:
    """What may be wrong with a value that is there, in order of precedence."""
    text, typed = F.col("_map")[name], F.col("_typed")[name]
    quoted = F.instr(F.col("_doc")[0], f'"{name}":"') > 0
    number = ~quoted & _matches(text, NUMBER)
    if field.kind in ("string", "uuid", "timestamp"):
        yield Reason.MISTYPED_FIELD, ~quoted
    if field.kind == "uuid":
        yield Reason.MISTYPED_FIELD, ~_matches(text, UUID)
    if field.kind == "timestamp":
        year = F.year(text.cast("timestamp"))
        real = F.coalesce(year.between(1, 9999), F.lit(False))
        yield Reason.UNPARSABLE_TIME, ~(_matches(text, TIME) & real)
    if field.kind == "boolean":
        yield Reason.MISTYPED_FIELD, typed.isNull()
    if field.kind in ("integer", "double"):
        yield Reason.MISTYPED_FIELD, ~number
    if field.kind == "decimal":
        yield Reason.MISTYPED_FIELD, ~(number | (quoted & _matches(text, MONEY)))
    if field.kind in ("integer", "double", "decimal"):
        yield Reason.LOSSY_NUMBER, ~_exact(typed, field)
    yield from _bounds(name, field)


def _exact(typed: Column, field: Field) -> Column:
    if field.kind == "double":
        return typed.isNotNull() & (F.abs(typed) < float("inf"))
    return F.coalesce(typed == typed.cast(spark_type(field)), F.lit(False))


def _bounds(name: str, field: Field) -> Iterator[tuple[Reason, Column]]:
    text, typed = F.col("_map")[name], F.col("_typed")[name]
    if field.enum is not None:
        yield Reason.OUT_OF_ENUM, ~text.isin(*field.enum)
    if field.minimum is not None:
        yield Reason.OUT_OF_RANGE, typed < _literal(field.minimum)
    if field.maximum is not None:
        yield Reason.OUT_OF_RANGE, typed > _literal(field.maximum)
    if field.max_length is not None:
        yield Reason.OUT_OF_RANGE, F.length(text) > field.max_length
    if field.pattern is not None:
        yield Reason.PATTERN_MISMATCH, ~_matches(text, field.pattern)


def _too_early(contract: Contract) -> Column:
    """Event time may run ahead of the broker's clock a little, not more."""
    text = F.col("_map")[contract.event_time]
    latest = F.col("kafka_time") + F.expr(f"INTERVAL {contract.ahead_max_s} SECONDS")
    detail = F.concat(F.lit(f"{contract.event_time}: "), text)
    return _when(text.cast("timestamp") > latest, Reason.FUTURE_EVENT_TIME, detail)


def _value(name: str, field: Field) -> Column:
    if field.kind in ("string", "uuid"):
        return F.col("_map")[name]
    source = F.col("_map") if field.kind == "timestamp" else F.col("_typed")
    return source[name].cast(spark_type(field))


def _names(contract: Contract) -> Column:
    return F.array(*[F.lit(name) for name in contract.fields])


def _when(wrong: Column, reason: Reason, detail: Column) -> Column:
    found = F.struct(F.lit(reason.value).alias("reason"), detail.alias("detail"))
    return F.when(wrong, found)


def _matches(text: Column, pattern: str) -> Column:
    """Whether the whole text matches; ``$`` would let a line feed at the end pass."""
    return text.rlike(rf"\A(?:{pattern})\z")


def _literal(bound: Decimal) -> Column:
    return F.lit(str(bound)).cast("decimal(38,18)")
