"""What the peers share: the contract, and a table equal to the raw one to write into."""

from __future__ import annotations

import dataclasses

from watershed.contracts.load import load_contract
from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.stores import cassandra, raw
from watershed.stores.cassandra_table import Table

TYPE = "transaction"


def contract(settings: Settings) -> Contract:
    """The contract whose topic everything is measured on."""
    return load_contract(settings.schemas_dir / TYPE / "contract.yaml")


def copy_table(settings: Settings, name: str) -> Table:
    """Make an empty table equal to the raw one."""
    table = dataclasses.replace(raw.table(contract(settings)), name=name)
    with cassandra.connect(settings) as session:
        session.execute(table.create())
    return table
