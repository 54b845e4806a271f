"""Commands reach a deployment that only the environment names: there is no home of a stack."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.commands import deploy_elsewhere, ws
from tests.support.oracle import Oracle
from tests.support.records import event, send
from tests.support.stack import Stack
from watershed.cli import shared
from watershed.errors import WatershedError


@pytest.fixture
def elsewhere(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy_elsewhere(monkeypatch, stack.settings, tmp_path)


@pytest.mark.usefixtures("elsewhere")
def test_what_looks(stack: Stack, oracle: Oracle, verify) -> None:
    event_id = str(uuid4())
    place = send(stack, oracle, event_id.encode(), event(transaction_id=event_id), "valid")
    broken = send(stack, oracle, b"broken", event(amount="much"), "invalid")
    verify()
    status = json.loads(ws("status", "--json").stdout)
    assert status["healthy"]
    assert [contract["type"] for contract in status["contracts"]] == ["transaction"]
    assert "services" not in status  # whose they are nobody has said
    assert json.loads(ws("audit", "--json").stdout)["ok"]
    [found] = json.loads(ws("trace", event_id, "--json").stdout)["occurrences"]
    assert found["record"] == str(place)
    listed = json.loads(ws("quarantine", "list", "--json").stdout)["records"]
    assert listed[0]["record"] == str(broken)
    assert json.loads(ws("quarantine", "show", str(broken), "--json").stdout)["record"] == str(
        broken
    )


@pytest.mark.usefixtures("elsewhere")
def test_what_mends(stack: Stack, oracle: Oracle, verify) -> None:
    broken = send(stack, oracle, b"broken", event(amount="much"), "invalid")
    verify()
    refused = ws("quarantine", "replay", str(broken), code=1)
    assert "mistyped_field" in refused.output
    assert "no record has expired" in str(ws("repair", "expired", "transaction", code=1).exception)
    assert json.loads(ws("rebuild", "flow", "transaction", "--json").stdout)["sums"] > 0
    assert json.loads(ws("rebuild", "cache", "transaction", "--json").stdout)["sequence"] > 0
    without_snapshot = ws("rebuild", "report", "transaction", code=1)
    assert "no snapshot of the reference data" in str(without_snapshot.exception)
    skipped = ws("skip-interval", "transaction", "2020-01-01T00:00Z", "--yes", code=1)
    assert "interval" in str(skipped.exception)
    verify()


def test_without_any_deployment_it_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATERSHED_HOME", raising=False)
    monkeypatch.setenv("WATERSHED_SECRETS_DIR", str(tmp_path / "secrets"))
    monkeypatch.setattr(shared, "default_home", lambda: tmp_path / "none")
    error = ws("status", code=1).exception
    assert isinstance(error, WatershedError)
    assert "set WATERSHED_SECRETS_DIR" in error.remedy
