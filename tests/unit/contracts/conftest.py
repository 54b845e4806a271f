"""Contracts for tests: the transaction's own text, edited."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from watershed.contracts.load import load_contract
from watershed.contracts.model import Contract
from watershed.contracts.query import ENRICH_FILE, REPORT_FILE
from watershed.errors import ContractError


@pytest.fixture(scope="session")
def transaction_folder() -> Path:
    return Path(__file__).parents[3] / "schemas" / "transaction"


@pytest.fixture(scope="session")
def text(transaction_folder: Path) -> str:
    """The transaction's contract as it is written."""
    return (transaction_folder / "contract.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def transaction(transaction_folder: Path) -> Contract:
    return load_contract(transaction_folder / "contract.yaml")


@pytest.fixture
def folder(tmp_path: Path, transaction_folder: Path) -> Path:
    """A folder with all that belongs beside the contract."""
    for name in (ENRICH_FILE, REPORT_FILE):
        shutil.copy(transaction_folder / name, tmp_path)
    return tmp_path


@pytest.fixture
def load(folder: Path) -> Callable[[str], Contract]:
    """Loads a contract from its text."""

    def loaded(text: str) -> Contract:
        path = folder / "contract.yaml"
        path.write_text(text, encoding="utf-8")
        return load_contract(path)

    return loaded


@pytest.fixture
def first_mistake(load: Callable[[str], Contract]) -> Callable[[str], tuple[int, str, str]]:
    """``(line, what is wrong, cure)`` of a text's first mistake; it must have one."""

    def refused(text: str) -> tuple[int, str, str]:
        with pytest.raises(ContractError) as caught:
            load(text)
        line, what = caught.value.cause.splitlines()[0].partition("contract.yaml:")[2].split(":", 1)
        return int(line), what.strip(), caught.value.remedy

    return refused


@pytest.fixture(scope="session")
def with_note(text: str) -> Callable[[str], str]:
    """The contract's text with one more field, ``note``, declared by ``key: value; ...``."""

    def edited(declaration: str) -> str:
        lines = ["  note:", "    description: More."]
        lines += [f"    {line}" for line in declaration.split("; ")]
        return text.replace("\nevent_id:", "\n".join([*lines, "", "event_id:"]), 1)

    return edited
