"""Declared reference tables as DataFrames, from wherever each is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from watershed.contracts.references import FILE, FOLDER, Reference, Unpivot
from watershed.errors import ContractError, StoreError
from watershed.settings import Settings
from watershed.spark import jdbc
from watershed.stores import lake


def read(
    spark: SparkSession,
    settings: Settings,
    reference: Reference,
    tables: Mapping[str, DataFrame],
    scratch: Path,
    today: date,
) -> DataFrame:
    """The declared columns of a reference, with their types; null where a text is no such value.

    ``tables`` are those above it, by name; ``scratch`` is a folder that lasts as long as the
    DataFrame. Raises StoreError where it cannot be read, ContractError for a query that is none.
    """
    match reference.store:
        case "parquet":
            frame = _parquet(spark, reference, path_of(settings, reference))
        case "csv":
            frame = _csv(spark, reference, path_of(settings, reference), scratch)
        case "sql":
            query = path_of(settings, reference).read_text(encoding="utf-8")
            frame = run(spark, tables, query, today, reference.where)
        case server:
            frame = jdbc.read(spark, settings, server, str(reference.table))
    return _typed(frame, reference)


def path_of(settings: Settings, reference: Reference) -> Path:
    """The file or folder of a reference. Raises StoreError for a package that is not there."""
    root, _, path = str(reference.path).rpartition(":")
    if root == "lake":
        return settings.lake_dir / path
    if root != "package":
        return settings.schemas_dir / FOLDER / path
    package, _, path = path.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StoreError(
            f"schemas/{FOLDER}/{FILE} reads {reference.where}: there is no package {package}",
            "add it to pyproject.toml, then ./ws lock",
        )
    return Path(spec.submodule_search_locations[0]) / path


def run(
    spark: SparkSession, tables: Mapping[str, DataFrame], query: str, today: date, where: str
) -> DataFrame:
    """What a Spark SQL query gives over tables, with ``:today``.

    Raises ContractError with ``where`` it stands for one that Spark cannot run.
    """
    for name, frame in tables.items():
        frame.createOrReplaceTempView(name)
    try:
        return spark.sql(query, args={"today": today})
    except AnalysisException as error:
        raise ContractError(f"{where}: {str(error).splitlines()[0]}", "correct it") from None


def _parquet(spark: SparkSession, reference: Reference, path: Path) -> DataFrame:
    try:
        return spark.read.parquet(lake.uri(path))
    except AnalysisException as error:
        raise _unreadable(reference, path, str(error).splitlines()[0]) from None


def _csv(spark: SparkSession, reference: Reference, path: Path, scratch: Path) -> DataFrame:
    """A CSV file with a header, every value as text; of a zip file the first member."""
    try:
        if path.suffix == ".zip":
            with ZipFile(path) as packed:
                path = Path(packed.extract(packed.namelist()[0], scratch))
        frame = spark.read.csv(lake.uri(path), header=True, nullValue=reference.nulls)
    except (OSError, AnalysisException) as error:
        raise _unreadable(reference, path, str(error).splitlines()[0]) from None
    return _unpivoted(frame, reference.unpivot, reference.where) if reference.unpivot else frame


def _unreadable(reference: Reference, path: Path, why: str) -> StoreError:
    return StoreError(f"{reference.where} cannot be read: {why}", f"put it at {path}")


def _unpivoted(frame: DataFrame, unpivot: Unpivot, where: str) -> DataFrame:
    """A row for each value that there is; what has no header has no name."""
    _check_columns(frame, unpivot.by.values(), where)
    named = frame.select(
        *(F.col(f"`{header}`").alias(column) for column, header in unpivot.by.items()),
        *(
            F.col(f"`{header}`")
            for header in frame.columns
            if header not in unpivot.by.values() and not header.startswith("_c")
        ),
    )
    rows = named.unpivot(list(unpivot.by), None, unpivot.names, unpivot.values)
    return rows.where(F.col(unpivot.values).isNotNull())


def _typed(frame: DataFrame, reference: Reference) -> DataFrame:
    _check_columns(frame, reference.columns, reference.where)
    return frame.select(
        *(
            F.expr(f"try_cast(`{name}` AS {kind})").alias(name)
            for name, kind in reference.columns.items()
        )
    )


def _check_columns(frame: DataFrame, wanted: Iterable[str], where: str) -> None:
    if missing := [name for name in wanted if name not in frame.columns]:
        raise StoreError(
            f"{where} has no column {', '.join(missing)}",
            f"add it there, or take it out of schemas/{FOLDER}/{FILE}",
        )
