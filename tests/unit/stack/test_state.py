"""What is known of a stack by looking at its folder, and that looking changes nothing."""

from __future__ import annotations

from pathlib import Path

from watershed.stack.home import Home
from watershed.stack.state import hold, read_state, running


def test_a_stack_runs_while_somebody_holds_its_home(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    lock = hold(home)
    assert lock is not None
    assert running(home)
    assert hold(home) is None
    lock.close()
    assert not running(home)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new"):
        assert not running(Home.open(folder))
        assert read_state(Home.open(folder)) is None
    assert list(tmp_path.iterdir()) == []


def test_anybody_s_folder_may_look_like_a_stack_s(tmp_path: Path) -> None:
    """As ``/`` does, with its folder ``run/lock``; or a file is where folders should be."""
    (tmp_path / "run" / "lock").mkdir(parents=True)
    assert not running(Home.open(tmp_path))
    (tmp_path / "file").touch()
    assert not running(Home.open(tmp_path / "file"))
