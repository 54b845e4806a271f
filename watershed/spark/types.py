"""A contract's types in Spark: what a valid value becomes, and how a JSON token becomes one.

A token comes as text: a string as it is, a number or boolean with U+0000 before it, an array or
object as JSON, ``null`` as null. U+0000 also marks a string that begins like an array or object.
"""

from __future__ import annotations

from decimal import Decimal

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from watershed.contracts.model import Contract, Field
from watershed.contracts.reasons import Reason
from watershed.contracts.validate import MAX_SCIENTIFIC, MONEY, TIMESTAMP, UUID

SIMPLE: dict[str, DataType] = {
    "string": StringType(),
    "uuid": StringType(),
    "boolean": BooleanType(),
    "integer": LongType(),
    "double": DoubleType(),
    "timestamp": TimestampType(),
}

MARK = "\0"
"""U+0000, of which no escape is accepted, so that no string has it."""

_OPENINGS = (MARK, "[", "{")
_MARKED_STRING = r"\A\x00[\[{]"
_NOT_STRING = r"\A(?:\x00[^\[{]|[\[{])"
_NUMBER = r"\A\x00[-0-9]"
_NUMBER_OR_MONEY = rf"{_NUMBER}|\A{MONEY.pattern}\z"
_SCIENTIFIC = rf"\x00(?=.{{1,{MAX_SCIENTIFIC}}}\z)[-0-9.]++[eE][+-]?[0-9]{{1,3}}"
_DOUBLE = rf"\x00[-0-9.]++|{_SCIENTIFIC}"
_UUID = UUID.pattern.replace("[0-9a-fA-F]", r"\p{XDigit}")  # one look-up, not three ranges
_ALL = 2**31 - 1
_MOST_PLAIN = 80  # 38 digits, zeros before them, mark, sign, point: what is behind is zeros
_INT64 = DecimalType(19, 0)


def spark_type(field: Field) -> DataType:
    """The type of a valid value."""
    return DecimalType(*field.decimal) if field.decimal else SIMPLE[field.kind]


def event_type(contract: Contract) -> StructType:
    """A valid event as a struct, its fields in the contract's order."""
    return StructType([StructField(n, spark_type(f)) for n, f in contract.fields.items()])


def matches(text: Column, pattern: str) -> Column:
    """Whether the whole text matches; ``$`` would let a line feed at the end pass."""
    return text.rlike(rf"\A(?:{pattern})\z")


def value(field: Field, token: Column) -> Column:
    """The token as the field's type; null if it cannot be that without loss, or is no ``enum``.

    A double may be infinite, a timestamp outside the years that are allowed.
    """
    match field.kind:
        case "string":
            return _string(field, token)
        case "uuid":
            return F.when(matches(token, _UUID), token)
        case "boolean":
            true, false = (token == MARK + word for word in ("true", "false"))
            return F.when(true, F.lit(True)).when(false, F.lit(False))
        case "timestamp":
            # To read a zone takes Spark longer than all the rest; the session's is UTC.
            moment = F.btrim(token, F.lit("Z")).cast(TimestampType())
            return F.when(matches(token, TIMESTAMP.pattern), moment)
        case "double":
            return F.when(matches(token, _DOUBLE), _unmarked(token).cast(DoubleType()))
        case "integer":
            whole = _exact(token, r"\x00", _INT64)
            return whole.cast(StringType()).cast(LongType())  # beyond 64 bits: null
        case _:
            precision, scale = field.decimal or (0, 0)
            return _exact(token, r"\x00?", DecimalType(precision, scale))


def refusal(field: Field, token: Column) -> Column:
    """The reason why a token that is there gave no value."""
    mistyped = F.lit(Reason.MISTYPED_FIELD.value)
    match field.kind:
        case "string" if field.enum is not None:
            return F.when(token.rlike(_NOT_STRING), mistyped).otherwise(Reason.OUT_OF_ENUM.value)
        case "timestamp":
            other = Reason.UNPARSABLE_TIME.value
            return F.when(token.rlike(_NOT_STRING), mistyped).otherwise(other)
        case "integer" | "double":
            return F.when(token.rlike(_NUMBER), Reason.LOSSY_NUMBER.value).otherwise(mistyped)
        case "decimal":
            number = token.rlike(_NUMBER_OR_MONEY)
            return F.when(number, Reason.LOSSY_NUMBER.value).otherwise(mistyped)
    return mistyped


def bound(field: Field, limit: Decimal) -> Column:
    """A field's minimum or maximum as the field's type."""
    return F.lit(f"{limit:f}").cast(spark_type(field))


def _string(field: Field, token: Column) -> Column:
    if field.enum is not None and not any(text.startswith(_OPENINGS) for text in field.enum):
        return F.when(token.isin(*field.enum), token)
    marked = F.when(token.rlike(_MARKED_STRING), _unmarked(token))
    text = F.when(token.substr(1, 1).isin(*_OPENINGS), marked).otherwise(token)
    return text if field.enum is None else F.when(text.isin(*field.enum), text)


def _unmarked(token: Column) -> Column:
    return token.substr(2, _ALL)


def _exact(token: Column, mark: str, type_: DecimalType) -> Column:
    """A number, or money text if the mark may be left out; null if digits would be lost.

    The cast ignores a control character before the number.
    """
    whole, scale = type_.precision - type_.scale, type_.scale
    integer = rf"(?:0|[1-9][0-9]{{0,{whole - 1}}})" if whole else "0"
    fraction = rf"[0-9]{{1,{scale}}}0*+" if scale else "0++"
    plain = matches(token, rf"{mark}-?{integer}(?:\.{fraction})?")
    return F.when(plain, token.substr(1, _MOST_PLAIN).cast(type_)).when(
        matches(token, _SCIENTIFIC), _rounded_nothing(token, type_)
    )


def _rounded_nothing(token: Column, type_: DecimalType) -> Column:
    """A number with an exponent; null if it is rounded or too large.

    Rounding changes the digits between the first and the last that is not 0, since it never makes
    a number ten times what it was. An overflow reads as 0, which has no such digit.
    """
    number = F.coalesce(token.cast(type_), F.lit(0).cast(type_))
    return F.when(_digits(token) == _digits(number.cast(StringType())), number)


def _digits(number: Column) -> Column:
    return F.btrim(F.regexp_replace(number, r"[eE].*|[^0-9]", ""), F.lit("0"))
