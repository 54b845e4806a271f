"""References and columns that were added by files alone are published, and made again by
``./ws rebuild report`` on a deployment that only the environment names."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.attempt_world import World, copy_rows
from tests.support.commands import deploy_elsewhere, ws
from tests.support.postgres import read
from watershed.batch import publish, quality_checks
from watershed.batch.checksums import checksums
from watershed.contracts.load import load_contracts
from watershed.provision.postgres import ensure_tables

FLOW = ("control.stream_offset", "speed.transaction_flow")


@pytest.fixture
def extended(world: World, schemas: Path) -> World:
    """The world under a contract with more references and columns; its ledger begins first."""
    settings = world.settings.model_copy(update={"schemas_dir": schemas})
    contract = load_contracts(schemas)["transaction"]
    ensure_tables(settings, [contract])
    for table in FLOW:
        copy_rows(world.stack.settings, world.connection, table)
    return replace(world, settings=settings, contract=contract)


def test_what_files_add_is_published_and_made_again(
    extended: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = extended.begin(extended.intervals(timedelta(minutes=5)))
    begin = "UPDATE control.stream SET final_from = %s, final_until = %s RETURNING type"
    extended.query(begin, attempt.start, attempt.start)
    extended.load(attempt)
    checks = quality_checks.check_staging(extended.connection, extended.contract, attempt)
    assert [check for check in checks if not check.ok] == []
    published = publish.publish(extended.connection, extended.contract, attempt)
    assert extended.query(
        "SELECT DISTINCT branch, country, unmatched FROM report.transaction ORDER BY branch"
    ) == [
        ("Kazan", "Russia", None),
        ("Novosibirsk", "Russia", None),
        ("SPB", "Russia", None),
        ("Surgut", None, ["country"]),
    ]
    assert extended.query(
        "SELECT DISTINCT day IN ('today', 'tomorrow') FROM report.transaction"
    ) == [(True,)]
    before = read(extended.connection, checksums, extended.contract)

    deploy_elsewhere(monkeypatch, extended.settings, tmp_path)
    rebuilt = json.loads(ws("rebuild", "report", "transaction", "--json").stdout)
    assert rebuilt["intervals"] == len(published) == len(attempt.intervals)
    assert rebuilt["rows"] == sum(interval.rows for interval in published) > 0
    assert read(extended.connection, checksums, extended.contract) == before
    assert (extended.settings.scratch_dir / "rebuild.log").exists()
