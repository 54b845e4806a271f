"""Loading a DataFrame into the staging table of an attempt, by PostgreSQL's COPY.

Spark writes the rows as COPY reads them, into files, and two connections take the files. Spark's
own retries end with the files, so they double no row; what fails later is loaded anew, into a new
table. docs/decisions/0012 has what JDBC takes instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StringType

from watershed.batch import report_table, staging_table
from watershed.batch.attempts import Attempt
from watershed.contracts.model import Contract
from watershed.contracts.query import Query
from watershed.errors import AttemptError, ContractError
from watershed.settings import Settings
from watershed.spark.enrich import WEIGHTS, Measured
from watershed.stores import lake, postgres
from watershed.stores.sql_types import identifiers

CONNECTIONS = 2
CHUNK_BYTES = 1 << 16
NULL = r"\N"
ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}
"""What COPY's text format cannot have as it is."""

ARRAY_ESCAPES = {"\\": r"\\", '"': r"\""}


def columns(cursor: Cursor, contract: Contract, attempt: Attempt, has: list[str]) -> list[str]:
    """The columns of the attempt's staging table, all of which the query's result ``has``.

    Raises ContractError for one that it has not.
    """
    name = staging_table.name(attempt)
    wanted = list(report_table.columns(cursor, name, staging_table.SCHEMA))
    if missing := [name for name in wanted if name not in has]:
        raise ContractError(
            f"schemas/{contract.type}/enrich.sql does not return {', '.join(missing)}, which"
            f" report.{contract.type} has",
            "return it again: a table of facts loses no column",
        )
    return wanted


@contextmanager
def own_folder(settings: Settings, contract: Contract) -> Iterator[Path]:
    """An empty folder for rows of the contract, which goes at the end; for who is ``enriching``.

    It has one name, so that what a killed job left there goes when the next one begins.
    """
    folder = settings.scratch_dir / f"staging-{contract.type}"
    lake.remove(folder)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        lake.remove(folder)


def write(rows: DataFrame, names: Sequence[str], folder: Path) -> None:
    """Write the named columns into files of ``folder``, which is made: a line for each row."""
    texts = [_text(name, rows.schema[name].dataType) for name in names]
    line = F.concat_ws("\t", *[F.coalesce(text, F.lit(NULL)) for text in texts])
    rows.select(line).write.option("compression", "none").text(lake.uri(folder))


def _text(name: str, kind: DataType) -> Column:
    """A value as COPY reads it; null stays null."""
    if isinstance(kind, ArrayType):
        members = F.transform(F.col(name).cast(ArrayType(StringType())), _member)
        return _escaped(F.concat(F.lit("{"), F.array_join(members, ","), F.lit("}")), ESCAPES)
    text = F.col(name).cast(StringType())
    return _escaped(text, ESCAPES) if isinstance(kind, StringType) else text


def _member(value: Column) -> Column:
    """A member of an array, in quotes: commas and braces in it are its own."""
    quoted = F.concat(F.lit('"'), _escaped(value, ARRAY_ESCAPES), F.lit('"'))
    return F.coalesce(quoted, F.lit("NULL"))


def _escaped(text: Column, escapes: Mapping[str, str]) -> Column:
    for plain, escaped in escapes.items():
        text = F.replace(text, F.lit(plain), F.lit(escaped))
    return text


def copy(settings: Settings, attempt: Attempt, names: Sequence[str], folder: Path) -> int:
    """Load the files of :func:`write` into the attempt's staging table; how many rows."""
    files = sorted(folder.glob("part-*"), key=lambda file: file.stat().st_size)
    shares = [files[n::CONNECTIONS] for n in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return sum(pool.map(lambda share: _copy(settings, attempt, names, share), shares))


def _copy(settings: Settings, attempt: Attempt, names: Sequence[str], files: list[Path]) -> int:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (ENCODING 'UTF8')").format(
        staging_table.table(attempt), identifiers(names)
    )
    copied = 0
    with postgres.connect(settings) as connection, postgres.transaction(connection) as cursor:
        for file in files:
            with file.open("rb") as lines:
                cursor.copy_expert(statement, lines, CHUNK_BYTES)
            copied += cursor.rowcount
    return copied


def measured(
    cursor: Cursor, contract: Contract, attempt: Attempt, copied: int
) -> dict[datetime, Measured]:
    """What the staging table has of each interval, by its start.

    As :func:`watershed.spark.enrich.measured` says it of events. Raises AttemptError unless the
    table has as many rows as were copied into it.
    """
    cursor.execute(
        sql.SQL(
            "SELECT interval_start, count(*), count(*) FILTER (WHERE NOT is_first), sum({measure}),"
            " sum(({measure} + 1) * ((payload_hash %% %(n)s + %(n)s) %% %(n)s))"
            " FROM {staging} GROUP BY interval_start"
        ).format(measure=sql.Identifier(contract.measure[1]), staging=staging_table.table(attempt)),
        {"n": WEIGHTS},
    )
    found = {start: Measured(*rest) for start, *rest in cursor.fetchall()}
    rows = sum(one.events for one in found.values())
    if rows != copied:
        raise AttemptError(
            f"attempt {attempt.attempt}: {copied:,} rows were loaded, {rows:,} are in staging",
            "run the task again: it loads them anew",
        )
    return found


def unmatched(
    cursor: Cursor, contract: Contract, attempt: Attempt, query: Query
) -> dict[datetime, dict[str, int]]:
    """Events without a row by interval and reference.

    Raises ContractError where the query names what is no reference of the contract.
    """
    cursor.execute(
        sql.SQL(
            "SELECT interval_start, name, count(*) FROM {}, unnest(unmatched) AS name"
            " GROUP BY interval_start, name ORDER BY interval_start, name"
        ).format(staging_table.table(attempt))
    )
    found: dict[datetime, dict[str, int]] = defaultdict(dict)
    for start, name, count in cursor.fetchall():
        found[start][name] = count
    if strange := {name for names in found.values() for name in names} - {*contract.references}:
        raise ContractError(
            f"{query.path}: `unmatched` names {', '.join(sorted(strange))}",
            f"the contract's references are {', '.join(contract.references)}",
        )
    return found
