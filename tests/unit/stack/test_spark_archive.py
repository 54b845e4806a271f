"""Making the archive of Spark's classes, where it does not work."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from watershed.errors import StackError
from watershed.stack import spark_archive


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sh", "-c", "sleep 60 & wait"], "not archived after 0.5 s"),
        (["sh", "-c", "echo no Java; exit 1"], "cannot be archived: no Java"),
        (["true"], "cannot be archived"),
    ],
)
def test_what_does_not_make_it_is_an_error(
    command: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_archive, "MAKING_S", 0.5)
    before = psutil.Process().children(recursive=True)
    with pytest.raises(StackError, match=said):
        spark_archive._run(command, {"PATH": "/usr/bin:/bin"}, tmp_path / "archive")
    assert set(psutil.Process().children(recursive=True)) <= set(before)
