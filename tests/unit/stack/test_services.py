"""What ``./ws up`` runs, by name."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from watershed.cli.panel import addresses
from watershed.stack import airflow_environment, jars, mariadb_programs, spark_archive
from watershed.stack.home import ROOT, Home
from watershed.stack.services import BATCH, SPEED, services
from watershed.stack.services.producer import producer


def test_the_layers_name_their_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jamm-1.jar").touch()
    for module in (airflow_environment, jars, mariadb_programs, spark_archive):
        monkeypatch.setattr(module, "made_once", lambda *_: tmp_path)  # nothing is made for it
    home = Home.open(tmp_path)
    home.prepare()
    assert [service.name for service in services(home, rate=1)] == list(SPEED)
    assert [service.name for service in services(home, rate=1, batch=True)] == [*SPEED, *BATCH]
    assert [service.name for service in services(home, rate=0)] == [*SPEED[:-1]]


def test_transactions_are_made_up_where_there_is_a_contract_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "schemas" / "transaction" / "contract.yaml").read_text()
    text, _, _ = text.replace("type: transaction", "type: payment").partition("# The batch layer")
    (tmp_path / "schemas" / "payment").mkdir(parents=True)
    (tmp_path / "schemas" / "payment" / "contract.yaml").write_text(text + "report: {}\n")
    monkeypatch.setenv("WATERSHED_SCHEMAS_DIR", str(tmp_path / "schemas"))
    home = Home.open(tmp_path / "home")
    home.prepare()
    assert producer(home, 1) is None
    shown = StringIO()
    Console(file=shown, width=100).print(addresses(home))
    assert "topics transaction" in shown.getvalue()  # the topic's name, not the type's
    assert "report.payment_position" in shown.getvalue()
