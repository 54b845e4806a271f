"""A mistake in a contract's file is refused with its line and a cure that names the key."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from watershed.contracts.load import load_contract, load_contracts
from watershed.contracts.model import Contract
from watershed.contracts.query import ENRICH_FILE, REPORT_FILE
from watershed.errors import ContractError
from watershed.stack.home import ROOT

Load = Callable[[str], Contract]
FirstMistake = Callable[[str], tuple[int, str, str]]
WithNote = Callable[[str], str]


@pytest.mark.parametrize(
    ("old", "new", "on_line", "what", "cure"),
    [
        ("partitions", "partitons", "partitons", "key `topic.partitons`", "mean `partitions`?"),
        ("ahead_max_s", "zz", "zz:", "unknown key `zz`", "allowed: ahead_max_s, critical"),
        ("minimum", "min", "min:", "unknown key `fields.amount.min`", "mean `minimum`?"),
        ("event_id: ", "# ", "# A bank", "`event_id` is missing", "add `event_id`"),
        (" [currency_code]", "", "  group_by:\n\n", "`position.group_by` cannot be empty", "list"),
        ("  group_by: [currency_code]", "  {}", "position", "`position.group_by` is miss", "add"),
        (
            "\n  ttl_days: 400\n  q",
            " 3\nq",
            "retention: 3",
            "`retention` cannot be `3`",
            "ttl_days",
        ),
        ("version: 1", "version: 1\nversion: 2", "version: 2", "duplicate key", "YAML"),
        ("version: 1", "1: version", "1: version", "a key is not text", "YAML"),
        ("version: 1", "[[a]]: 1", "[[a]]: 1", "a key is not text", "YAML"),
        ("version: 1", "<<: {version: 1}", "<<:", "a key is not text", "YAML"),
        ("version: 1", "version: [1", "description: One", "expected ','", "YAML"),
        ("One booking", "\x07", "\x07", "not YAML text", "YAML"),
        ("partitions: 3", "partitions: 0", "partitions: 0", "partitions` cannot be `0`", "to 1"),
        ("partitions: 3", "partitions: 1001", ": 1001", "`topic.partitions`", "equal to 1000"),
        ("partitions: 3", "partitions: '3'", ": '3'", "`topic.partitions`", "valid integer"),
        ("keep: 100", "keep: true", "keep: true", "`critical.keep`", "valid integer"),
        ("bucket_hours: 24", "bucket_hours: 1.5", ": 1.5", "`critical.bucket_hours`", "integer"),
        ("hours: 168", "hours: 0", "hours: 0", "`topic.retention_hours`", "equal to 1"),
        ("s: 400", "s: 7301", "s: 7301", "`retention.ttl_days`", "7300"),
        ("lookback_hours: 24", "lookback_hours: 0", "hours: 0", "`lookback_hours`", "equal to 1"),
        ("max_s: 300", "max_s: -1", "max_s: -1", "`ahead_max_s`", "equal to 0"),
        ("SPB, ", "1, ", "enum: [Kazan", "`fields.branch.enum.1` cannot be `1`", "quotes"),
        ("  branch:", "  Branch:", "  Branch:", "`fields.Branch`", "lower-case"),
        (
            "  currency:",
            "  BRANCH: {type: string, description: x}\n  currency:",
            "  BRANCH",
            "`fields.BRANCH`",
            "lower-case",
        ),
        ("entity: branch", "entity: order", "entity: order", "`entity`", "reserved word"),
        ("name: transaction", "name: a b", "name: a b", "`topic.name`", "dashes"),
        ("type: transaction", "type: T", "type: T", "`type` cannot be `T`", "at most 32"),
        (
            "type: uuid",
            "type: float",
            "type: float",
            "`fields.transaction_id.type`",
            "decimal(p,s)",
        ),
        ("  hourly:", "  hourli: 1\n  hourly:", "  hourli:", "`report.hourli`", "mean `hourly`?"),
        (
            "    sum: [a",
            "    zum: a\n    sum: [a",
            "    zum:",
            "`report.hourly.zum`",
            "mean `sum`?",
        ),
        ("group_by: [branch, c", "group_by: [Branch, c", ": [Branch", "`Branch`", "lower-case"),
        ("fx_rate: 0.01", "fx_rate: 1.5", "fx_rate: 1.5", "be `1.5`", "less than or equal to 1"),
        ("value: amount", "value: amount\n    b: amount", "  sum:", "`flow.sum`", "at most 1"),
    ],
)
def test_value_is_refused(
    old: str,
    new: str,
    on_line: str,
    what: str,
    cure: str,
    text: str,
    first_mistake: FirstMistake,
) -> None:
    assert old in text
    edited = text.replace(old, new, 1)
    line, found, remedy = first_mistake(edited)
    assert line == edited[: edited.index(on_line)].count("\n") + 1
    assert what in found
    assert cure in remedy


@pytest.mark.parametrize("bound", ["'1'", "true", ".inf", ".nan", "one", "2020-01-01"])
def test_bound_must_be_a_number(
    bound: str, with_note: WithNote, first_mistake: FirstMistake
) -> None:
    edited = with_note(f"type: double; maximum: {bound}")
    line, what, cure = first_mistake(edited)
    assert edited.splitlines()[line - 1] == f"    maximum: {bound}"
    assert "`fields.note.maximum`" in what
    assert "without quotes" in cure


def test_bounds_are_exact(with_note: WithNote, load: Load) -> None:
    bounds = "minimum: 0.1; maximum: 12345678901234567890.123456789"
    note = load(with_note(f"type: decimal(29,9); {bounds}")).fields["note"]
    assert note.minimum == Decimal("0.1")
    assert note.maximum == Decimal("12345678901234567890.123456789")


def test_every_mistake_of_a_file_is_told(text: str, load: Load) -> None:
    with pytest.raises(ContractError) as caught:
        load(text.replace("keep: 100", "keep: 0").replace("partitions", "partitons"))
    first, second = caught.value.cause.splitlines()
    assert "contract.yaml:8: unknown key `topic.partitons`" in first
    assert "contract.yaml:40: `critical.keep` cannot be `0`" in second
    assert "line 8: did you mean `partitions`?" in caught.value.remedy
    assert "line 40: it should be" in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "cause"),
    [(b"", "not a block"), (b"- a\n", "not a block"), (b"\xff", "cannot be read")],
)
def test_file_that_is_no_contract(content: bytes, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "contract.yaml"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=rf"contract\.yaml:1: .*{cause}"):
        load_contract(path)


def test_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"contract\.yaml:1: cannot be read"):
        load_contract(tmp_path / "contract.yaml")


def write(
    schemas: Path, folder: str, text: str, beside: tuple[str, ...] = (ENRICH_FILE, REPORT_FILE)
) -> None:
    (schemas / folder).mkdir(parents=True)
    (schemas / folder / "contract.yaml").write_text(text)
    for name in beside:
        shutil.copy(ROOT / "schemas" / "transaction" / name, schemas / folder)


def test_paths_are_shown_from_the_working_directory(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "schemas", "transaction", text.replace("version: 1", "version: 0"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ContractError, match=r"^schemas/transaction/contract\.yaml:3: "):
        load_contracts(tmp_path / "schemas")


def test_contracts_of_the_repository(transaction_folder: Path) -> None:
    contracts = load_contracts(transaction_folder.parent)
    assert contracts["transaction"].measure == ("batch_value", "amount")
    assert contracts["transaction"].fields["amount"].decimal == (18, 2)
    assert all(name == contract.type for name, contract in contracts.items())


def test_folder_must_be_named_after_the_type(text: str, tmp_path: Path) -> None:
    write(tmp_path, "transactions", text)
    with pytest.raises(ContractError, match=r"yaml:2: type `transaction` is in the folder") as it:
        load_contracts(tmp_path)
    assert "rename the folder to `transaction`" in it.value.remedy


def test_topics_must_differ(text: str, tmp_path: Path) -> None:
    write(tmp_path, "transaction", text)
    write(tmp_path, "trade", text.replace("type: transaction", "type: trade"))
    with pytest.raises(ContractError, match=r"transaction/contract\.yaml:7: topic .* `trade`"):
        load_contracts(tmp_path)


def bare(text: str, event_type: str, report: str = "{}") -> str:
    """A contract of another type, with a topic of its own, whose report is all derived."""
    head, _, _ = text.partition("\n# The batch layer")
    named = head.replace("type: transaction", f"type: {event_type}", 1)
    return named.replace("name: transaction", f"name: {event_type}", 1) + f"\nreport: {report}\n"


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        (
            "trade",
            "trade_hourly",
            "would name its facts, and names sums by hour and interval",
        ),
        ("trade", "trade_position", "would name its facts, and names the position of trade"),
        ("trade", "trade_pkey", "would name its facts, and names the key of the facts of trade"),
        (
            "a",
            "a_bucket",
            "would name its critical events, and names the buckets of",
        ),
    ],
)
def test_two_types_that_need_one_name(
    first: str, second: str, line: str, text: str, tmp_path: Path
) -> None:
    for name in (first, second):
        write(tmp_path, name, bare(text, name), ())
    with pytest.raises(ContractError) as refused:
        load_contracts(tmp_path)
    assert f"{second}/contract.yaml:2: " in refused.value.cause
    assert line in refused.value.cause
    assert "choose another type" in refused.value.remedy


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("CREATE OR REPLACE VIEW report.trade_final AS SELECT 1", "names running totals of trade"),
        ("create table if not exists Interval (a int)", "names the ledger of all types"),
        ("CREATE MATERIALIZED VIEW report.trade AS SELECT 1", "names facts of trade"),
        (f"CREATE VIEW report.{'v' * 64} AS SELECT 1", "of 64 bytes"),
    ],
)
def test_what_a_report_may_not_create(
    statement: str, fault: str, text: str, tmp_path: Path
) -> None:
    write(tmp_path, "trade", bare(text, "trade"), ())
    (tmp_path / "trade" / "report.sql").write_text(f"-- ours\n\n{statement};\n")
    with pytest.raises(ContractError, match=r"trade/report\.sql:3: creates `") as refused:
        load_contracts(tmp_path)
    assert fault in refused.value.cause


def test_a_type_that_another_ones_report_has_named(text: str, tmp_path: Path) -> None:
    write(tmp_path, "a", bare(text, "a"), ())
    (tmp_path / "a" / "report.sql").write_text("CREATE VIEW report.trade AS SELECT 1;")
    write(tmp_path, "trade", bare(text, "trade"), ())
    with pytest.raises(ContractError, match=r"names what schemas/a/report\.sql creates"):
        load_contracts(tmp_path)


def test_no_contract_at_all(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"no folder in it has a contract\.yaml"):
        load_contracts(tmp_path)


def test_a_topic_is_renamed_by_a_setting(transaction_folder: Path) -> None:
    contracts = load_contracts(transaction_folder.parent, {"transaction": "bank.transaction"})
    assert contracts["transaction"].topic.name == "bank.transaction"
    assert contracts["transaction"].topic.partitions == 3


@pytest.mark.parametrize(
    ("event_type", "topic"), [("transactions", "bank"), ("transaction", "no name")]
)
def test_a_topic_that_cannot_be_renamed_is_named(
    event_type: str, topic: str, transaction_folder: Path
) -> None:
    with pytest.raises(ContractError, match=f"topics={event_type}={topic}"):
        load_contracts(transaction_folder.parent, {event_type: topic})
