"""What a version of a contract fixes, and what may change under the same version."""

from __future__ import annotations

from watershed.contracts.load import load_contract
from watershed.speed.contract_versions import definition
from watershed.stack.home import ROOT

TRANSACTION = load_contract(ROOT / "schemas" / "transaction" / "contract.yaml")


def test_what_is_reported_needs_no_new_version() -> None:
    assert TRANSACTION.references
    assert TRANSACTION.report
    before = TRANSACTION.model_copy(update={"references": (), "report": None})
    assert definition(before) == definition(TRANSACTION)
    other = TRANSACTION.model_copy(update={"lookback_hours": 48})
    assert definition(other) != definition(TRANSACTION)
