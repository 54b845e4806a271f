"""A contract that changes: what old events could not be read with is refused, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.application import Application, application
from tests.support.stack import Stack
from watershed.contracts.model import Contract
from watershed.errors import ContractError
from watershed.speed import contract_versions, progress
from watershed.stores import postgres
from watershed.stores.topics import topic_state


@pytest.fixture
def app(stack: Stack, tmp_path: Path) -> Application:
    return application(stack, tmp_path, "versioned")


def _changed(app: Application, old: str, new: str) -> Contract:
    path = app.settings.schemas_dir / "versioned" / "contract.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return app.contract("versioned")


def _start(app: Application, contract: Contract) -> None:
    with postgres.connect(app.settings) as connection:
        at = progress.resume(connection, contract, topic_state(app.settings, "versioned"))
        contract_versions.adopt(connection, contract, at)


NEW_FIELD = """fields:
  note:
    type: string
    required: {required}
    description: More.
"""


def test_versions_of_a_contract(app: Application) -> None:
    _start(app, app.contract("versioned"))
    _start(app, _changed(app, "One booking of one branch", "One booking"))  # texts are free
    with pytest.raises(ContractError, match=r"changed \(fields.amount\) and is still version 1"):
        _start(app, _changed(app, "maximum: 100", "maximum: 90"))
    _start(app, _changed(app, "version: 1", "version: 2"))
    _changed(app, "fields:\n", NEW_FIELD.format(required="true"))
    with pytest.raises(ContractError, match="new field `note` is required"):
        _start(app, _changed(app, "version: 2", "version: 3"))
    _start(app, _changed(app, "required: true", "required: false"))
    with pytest.raises(ContractError, match=r"field `amount` was decimal\(18,2\)"):
        _start(
            app, _changed(app, "decimal(18,2)", "decimal(19,2)").model_copy(update={"version": 4})
        )
    _changed(app, "decimal(19,2)", "decimal(18,2)")
    with pytest.raises(ContractError, match="events came in under version 3"):
        _start(app, _changed(app, "version: 3", "version: 2"))
    found = app.query("SELECT version, since FROM control.contract WHERE type = 'versioned'")
    assert sorted(found) == [(version, {"0": 0, "1": 0, "2": 0}) for version in (1, 2, 3)]
