"""Rows as lines of PostgreSQL's COPY."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from pyspark.sql import SparkSession

from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.spark.staging import own_folder, write

TYPES = (
    "text string, moment timestamp, day date, amount decimal(20,2), rate decimal(18,8),"
    " number bigint, near double, flag boolean, unmatched array<string>"
)


def test_every_type_as_copy_reads_it(spark: SparkSession, tmp_path: Path) -> None:
    moment = datetime(1, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
    full = ("plain", moment, date(2026, 11, 20), Decimal("-0.01"), Decimal("1.10000000"), -(2**63),
            float("inf"), True, ["branch", "fx_rate"])  # fmt: skip
    rows = spark.createDataFrame([full, (None,) * 9], TYPES).coalesce(1)
    write(rows, ["unmatched", *rows.columns[:-1]], tmp_path / "rows")
    assert _lines(tmp_path) == [
        '{"branch","fx_rate"}\tplain\t0001-02-03 04:05:06.789\t2026-11-20\t-0.01\t1.10000000'
        "\t-9223372036854775808\tInfinity\ttrue",
        "\t".join([r"\N"] * 9),
    ]


def test_text_that_would_end_a_value(spark: SparkSession, tmp_path: Path) -> None:
    texts = ["a\tb", "a\nb", "a\r\nb", r"\N", "\\.", "", "NULL", " a ", '"', "Ж😀", "\\\t"]
    rows = spark.createDataFrame([(text,) for text in texts], "text string").coalesce(1)
    write(rows, ["text"], tmp_path / "rows")
    assert _lines(tmp_path) == [
        r"a\tb", r"a\nb", r"a\r\nb", r"\\N", r"\\.", "", "NULL", " a ", '"', "Ж😀", r"\\\t",
    ]  # fmt: skip


def test_members_of_an_array_stay_apart(spark: SparkSession, tmp_path: Path) -> None:
    arrays = [[], ["a,b", "c"], ["{}", ""], ['"', "\\"], ["a\tb", None], ["NULL"], [None]]
    rows = spark.createDataFrame([(array,) for array in arrays], "words array<string>").coalesce(1)
    numbers = rows.selectExpr("array(1, 2) AS numbers", "words")
    write(numbers, ["words", "numbers"], tmp_path / "rows")
    assert [line.removesuffix('\t{"1","2"}') for line in _lines(tmp_path)] == [
        "{}", '{"a,b","c"}', '{"{}",""}', r'{"\\"","\\\\"}', r'{"a\tb",NULL}', '{"NULL"}', "{NULL}",
    ]  # fmt: skip


def test_what_a_killed_job_left_goes(transaction: Contract, tmp_path: Path) -> None:
    settings = Settings(scratch_dir=tmp_path / "scratch")
    killed = own_folder(settings, transaction)
    left = killed.__enter__() / "rows"
    left.mkdir()
    with own_folder(settings, transaction) as folder:
        assert left.parent == folder
        assert list(folder.iterdir()) == []
        assert folder.stat().st_mode & 0o077 == 0
    assert list(settings.scratch_dir.iterdir()) == []


def _lines(folder: Path) -> list[str]:
    [part] = (folder / "rows").glob("part-*")
    return part.read_bytes().decode().removesuffix("\n").split("\n")
