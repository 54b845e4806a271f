"""A contract's types as Spark's."""

from __future__ import annotations

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

WIDE = DecimalType(38, 18)
"""What decimals and integers are read as, so that a lossy narrowing shows."""

SIMPLE: dict[str, DataType] = {
    "string": StringType(),
    "uuid": StringType(),
    "boolean": BooleanType(),
    "integer": LongType(),
    "double": DoubleType(),
    "timestamp": TimestampType(),
}

PARSED: dict[str, DataType] = {
    "boolean": BooleanType(),
    "double": DoubleType(),
    "integer": WIDE,
    "decimal": WIDE,
}


def spark_type(field: Field) -> DataType:
    """The type of a valid value."""
    return DecimalType(*field.decimal) if field.decimal else SIMPLE[field.kind]


def event_type(contract: Contract) -> StructType:
    """A valid event as a struct, its fields in the contract's order."""
    return StructType([StructField(n, spark_type(f)) for n, f in contract.fields.items()])


def parse_type(contract: Contract) -> StructType:
    """What the JSON parser is asked for: the fields that are not text, wider than declared."""
    return StructType(
        [StructField(n, PARSED[f.kind]) for n, f in contract.fields.items() if f.kind in PARSED]
    )
