"""``schemas/reference``: what is declared, and mistakes in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from watershed.contracts.load import load_contracts
from watershed.contracts.references import FILE, FOLDER, load_references
from watershed.errors import ContractError
from watershed.stack.home import ROOT
from watershed.stores.seeds import ddl, seeds

SCHEMAS = ROOT / "schemas"
CSV = "store: csv\n    path: lake:a.csv"
TABLE = "store: postgres\n    table: reference.branch"
TABLES = """
tables:
  branch:
    store: postgres
    table: reference.branch
    columns: {branch: string, opened: date}
    key: [branch]
"""


def written(folder: Path, text: str) -> Path:
    (folder / FOLDER).mkdir()
    (folder / FOLDER / FILE).write_text(text)
    return folder


def test_the_folder_is_no_event_type() -> None:
    assert FOLDER not in load_contracts(SCHEMAS)


def test_every_contract_joins_what_a_snapshot_has() -> None:
    kept = load_references(SCHEMAS).kept
    assert kept == ["branch", "position_limit", "currency", "fx_manual", "fx_rate"]
    for contract in load_contracts(SCHEMAS).values():
        assert set(contract.references) <= set(kept)


def test_seeds_have_columns_that_are_declared() -> None:
    declared = {
        (table.store, table.table): set(table.columns)
        for table in load_references(SCHEMAS).tables.values()
    }
    found = {
        (store, f"reference.{seed.table}" if store == "postgres" else seed.table): seed
        for store in ("postgres", "mysql")
        for seed in seeds(SCHEMAS, store)
    }
    assert {where: set(seed.columns) for where, seed in found.items()} == {
        where: declared[where] for where in found
    }
    assert len(found) == 4


def test_entered_rates_of_the_seed_say_that_they_are() -> None:
    [rates] = [seed for seed in seeds(SCHEMAS, "postgres") if seed.table == "fx_manual"]
    source, note = rates.columns.index("source"), rates.columns.index("note")
    assert {row[source] for row in rates.rows} == {"indicative, entered by hand"}
    assert all("no official rate" in str(row[note]) for row in rates.rows)


def test_schemas_without_references_have_no_statements(tmp_path: Path) -> None:
    assert ddl(tmp_path, "postgres") == ""
    assert list(seeds(tmp_path, "postgres")) == []


@pytest.mark.parametrize(
    ("before", "after", "mistake"),
    [
        ("store: postgres", "store: oracle", "`tables.branch.store`: Input should be 'postgres'"),
        ("store: postgres", "store: parquet", "`tables.branch`: of parquet write `path`, and no"),
        ("    table: reference.branch\n", "", "`tables.branch`: of postgres write `table`, and no"),
        (TABLE, "store: sql\n    path: lake:a.sql", "`path` of sql is a file beside this one"),
        (TABLE, "store: csv\n    path: ../a.csv", "`tables.branch.path`: String should match"),
        (TABLE, "store: csv\n    path: a.csv", "`tables.branch.path`: there is no schemas/refer"),
        (TABLE, f"{TABLE}\n    nulls: none", "`unpivot` and `nulls` are for csv"),
        (
            TABLE,
            f"{CSV}\n    unpivot: {{names: a, values: b, by: {{opened: c}}}}",
            "`unpivot` names a, b, which is no column",
        ),
        ("key: [branch]", "key: [name]", "`tables.branch`: `key` names name, which is no column"),
        ("opened: date", "opened: datum", "`tables.branch.columns.opened`: String should match"),
        ("table: reference.branch", 'table: "branch; --"', "`tables.branch.table`: String should"),
        ("key: [branch]", "key: [branch]\n    kee: 1", "`tables.branch.kee`: Extra inputs"),
        ("tables:", "tables: [", f"schemas/{FOLDER}/{FILE}: cannot be read:"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, before: str, after: str, mistake: str) -> None:
    load_references(written(tmp_path, TABLES))
    (tmp_path / FOLDER / FILE).write_text(TABLES.replace(before, after))
    with pytest.raises(ContractError) as refused:
        load_references(tmp_path)
    assert mistake in refused.value.cause
    assert refused.value.remedy
