"""How many rows a DataFrame has, and a checksum that is the same for the same rows."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from watershed.stores.reference import TableContent

HASH = "decimal(20,0)"
MASK = 2**64 - 1


def aggregates(columns: list[str]) -> list[Column]:
    """What :func:`content_of` takes: the rows' number and the sum of their hashes.

    A sum, since it is the same in any order, and two equal rows do not cancel out. The hash leaves
    nulls out, so where they are is hashed too.
    """
    nulls = F.array(*map(F.isnull, columns))
    each = F.xxhash64(*columns, nulls).cast(HASH)
    return [F.count(F.lit(1)).alias("rows"), F.sum(each).alias("hashes")]


def content_of(rows: int, hashes: int | None) -> TableContent:
    """The content that two aggregates say: the sum as 16 hexadecimal digits."""
    return TableContent(rows, f"{int(hashes or 0) & MASK:016x}")


def content(frame: DataFrame) -> TableContent:
    """The content of a DataFrame, which is read once for it."""
    row = frame.agg(*aggregates(frame.columns)).first()
    return content_of(*row) if row else TableContent(0, "")
