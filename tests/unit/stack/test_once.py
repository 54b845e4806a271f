"""What is made once is whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from watershed.stack.once import made_once


def _make(folder: Path) -> None:
    (folder / "part").write_text("made")


def test_it_is_made_only_once(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "tool-1"
    assert made_once(folder, _make) == folder
    assert (folder / "part").read_text() == "made"
    made_once(folder, lambda _: pytest.fail("made again"))


def test_half_of_it_is_never_seen(tmp_path: Path) -> None:
    folder = tmp_path / "tool-1"

    def fail(part: Path) -> None:
        _make(part)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made_once(folder, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["tool-1.lock"]
    assert made_once(folder, _make) == folder
