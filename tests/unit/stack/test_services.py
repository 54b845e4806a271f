"""What ``./ws up`` runs, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from watershed.stack import airflow_environment, jars, mariadb_programs, spark_archive
from watershed.stack.home import Home
from watershed.stack.services import BATCH, SPEED, services


def test_the_layers_name_their_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jamm-1.jar").touch()
    for module in (airflow_environment, jars, mariadb_programs, spark_archive):
        monkeypatch.setattr(module, "made_once", lambda *_: tmp_path)  # nothing is made for it
    home = Home.open(tmp_path)
    home.prepare()
    assert [one.name for one in services(home, rate=1)] == list(SPEED)
    assert [one.name for one in services(home, rate=1, batch=True)] == [*SPEED, *BATCH]
