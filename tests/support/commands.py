"""``./ws`` in the test's own process, on a deployment that only the environment names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from watershed.cli import shared
from watershed.cli.app import app
from watershed.errors import WatershedError
from watershed.settings import PREFIX, Settings


def deploy_elsewhere(monkeypatch: pytest.MonkeyPatch, settings: Settings, folder: Path) -> None:
    """Make the environment that of a machine without a stack, with these settings."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    for name, value in settings.model_dump(mode="json", exclude_defaults=True).items():
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", str(value))
    monkeypatch.setattr(shared, "default_home", lambda: folder / "none")


def ws(*arguments: str, code: int = 0) -> Result:
    """What a command does; its exit code must be this one."""
    done = CliRunner().invoke(app, arguments)
    if isinstance(done.exception, WatershedError):  # which ``main`` shows, and exits with 1
        done.exit_code = 1
    assert done.exit_code == code, (done.output, done.exception)
    return done
