"""What commands share: times as operators write them, and columns."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from watershed.cli.shared import HomePath, moment, print_columns

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("30m", NOON - timedelta(minutes=30)),
        ("1d", NOON - timedelta(days=1)),
        ("2026-01-31T15:00:00+03:00", NOON),
        ("2026-01-31T12:00:00Z", NOON),
        (None, None),
    ],
)
def test_a_time_is_an_age_or_a_moment(text: str | None, time: datetime | None) -> None:
    assert moment(text, NOON) == time


@pytest.mark.parametrize("text", ["", "yesterday", "-1d", "2w", "2026-01-31T12:00:00"])
def test_any_other_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"2h|offset"):
        moment(text, NOON)


def test_columns_are_as_wide_as_they_must_and_the_last_is_never_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_columns([("a", "[red]b", "x" * 300), (Text("жжжж"), "c", "")])
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"a     [red]b  {'x' * 300}"
    assert second.rstrip() == "жжжж  c"


def test_the_home_is_looked_up_when_a_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer()

    @app.command()
    def show(home: HomePath) -> None:
        print(home)

    def shown(*arguments: str) -> str:
        return CliRunner().invoke(app, arguments).output.strip()

    monkeypatch.delenv("WATERSHED_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert shown() == str(tmp_path / "watershed")
    monkeypatch.setenv("WATERSHED_HOME", str(tmp_path / "named"))
    assert shown() == str(tmp_path / "named")
    assert shown("--home", str(tmp_path / "given")) == str(tmp_path / "given")
