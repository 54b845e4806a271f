"""How wide intervals may be."""

from __future__ import annotations

import pytest

from watershed.batch.intervals import check_width
from watershed.contracts.load import load_contract
from watershed.errors import SettingsError
from watershed.stack.home import ROOT

TRANSACTION = load_contract(ROOT / "schemas" / "transaction" / "contract.yaml")
HOURLY = TRANSACTION.model_copy(update={"lookback_hours": 1})


@pytest.mark.parametrize("interval_s", [60, 300, 3600])
def test_an_interval_may_be_as_long_as_the_lookback(interval_s: int) -> None:
    check_width(HOURLY, interval_s)


def test_a_longer_one_is_refused() -> None:
    """Or a repeated event would be a duplicate, or none, as the width has it."""
    check_width(TRANSACTION, 7200)
    with pytest.raises(
        SettingsError, match="=7200 is longer than transaction looks back"
    ) as raised:
        check_width(HOURLY, 7200)
    assert raised.value.remedy.startswith("make it 3600 at most")
