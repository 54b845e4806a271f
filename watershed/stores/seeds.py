"""Rows that a table begins with: ``schemas/reference/<store>/<table>.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from watershed.contracts.references import FOLDER


class Seed(NamedTuple):
    """Rows of one table; the first column is of its key. An empty value is NULL."""

    table: str
    columns: list[str]
    rows: list[list[str | None]]


def ddl(schemas_dir: Path, store: str) -> str:
    """The statements that make a store's tables; empty where the schemas have none."""
    path = schemas_dir / FOLDER / f"{store}.sql"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def seeds(schemas_dir: Path, store: str) -> Iterator[Seed]:
    """A store's seeds in order of their names: a table comes after one that it refers to."""
    for path in sorted((schemas_dir / FOLDER / store).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            columns, *rows = csv.reader(file)
        yield Seed(path.stem, columns, [[value or None for value in row] for row in rows])
