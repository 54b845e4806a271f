"""Folders of the Parquet lake: written aside, then put in place whole, then never changed.

What is being written lies below ``<lake>/.making``, on the same file system and out of the sight
of readers. A folder in place counts once PostgreSQL has its row; until then it may be removed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MAKING = ".making"


def making(lake_dir: Path, name: str) -> Path:
    """An empty place to write in; what an earlier attempt of that name left is removed."""
    folder = lake_dir / MAKING / name
    remove(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def move_in(made: Path, folder: Path) -> None:
    """Put what was made in place, on the disk before anything can name it.

    What is there already was never recorded: it is removed.
    """
    remove(folder)
    for path in (*made.rglob("*"), made):
        _sync(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made.rename(folder)
    _sync(folder.parent)


def uri(folder: Path) -> str:
    """A folder's name for Spark, which takes ``%3D`` for three letters, not for ``=``."""
    return f"file://{folder.absolute()}"


def remove(folder: Path) -> None:
    """Remove a folder, if there is one."""
    if folder.exists():
        shutil.rmtree(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
