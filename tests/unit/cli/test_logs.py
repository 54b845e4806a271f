"""What ``./ws logs --help`` says."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from watershed.cli.app import app
from watershed.stack.enrich_job import LOG
from watershed.stack.services import BATCH, SPEED


@pytest.mark.parametrize("name", [*SPEED, *BATCH, "supervisor", LOG])
def test_help_names_every_log(name: str) -> None:
    shown = CliRunner().invoke(app, ["logs", "--help"], env={"COLUMNS": "300"}).output
    assert f" {name}," in shown or f" {name}." in shown
