"""Values that contradict each other are refused where one of them is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from watershed.contracts import derived
from watershed.contracts.model import BATCH_COLUMNS, RESERVED, UNMATCHED, Contract
from watershed.contracts.query import ENRICH_FILE, REPORT_FILE
from watershed.stack.home import ROOT

Load = Callable[[str], Contract]
FirstMistake = Callable[[str], tuple[int, str, str]]
WithNote = Callable[[str], str]
NEW = "{type: string, description: x}"


@pytest.mark.parametrize(
    ("old", "new", "on_line", "what", "cure"),
    [
        ("type: transaction", "type: quarantine", "type: q", "names the quarantine", "another"),
        ("type: transaction", "type: interval", "type: i", "names the ledger of all", "another"),
        ("type: transaction", "type: reference", "type: r", "names the snapshots of", "another"),
        ("id: transaction_id", "id: transaction", "event_id:", "`event_id`", "`transaction_id`?"),
        ("event_time: event_time", "event_time: at", "event_time: at", "`event_time`", "amount"),
        ("entity: branch", "entity: branhc", "entity:", "`entity`", "mean `branch`?"),
        ("name: branch", "name: b", "  branch_name: b\n", "`flow.group_by.branch_name`", "allowed"),
        ("value: amount", "value: amt", "batch_value", "`flow.sum.batch_value`", "`amount`?"),
        ("type: uuid", "type: integer", "event_id:", "`event_id`", "string or uuid"),
        ("type: timestamp", "type: string", "event_time: e", "`event_time`", "timestamp"),
        ("type: uuid", "type: uuid\n    nullable: true", "event_id:", "`event_id`", "required"),
        ("    enum: [K", "    required: false\n    enum: [K", "entity:", "`entity`", "required"),
        (
            "    enum: [R",
            "    nullable: true\n    enum: [R",
            "  currency_code:",
            "code`",
            "required",
        ),
        ("    min", "    required: false\n    min", "  batch_value", "batch_value`", "required"),
        ("decimal(18,2)", "double", "batch_value:", "`flow.sum.batch_value`", "never double"),
        ("decimal(18,2)", "decimal(29,9)", "batch_value:", "29 digits", "at most 28"),
        ("[currency_code]", "[currency]", "[currency]", "`currency`", "`currency_code`?"),
        ("[currency_code]", "[currency_code, currency_code]", "[currency_code", "repeats", "once"),
        ("window_s: 2", "window_s: 7", "window_s: 7", "`flow.window_s`", "divide 3600"),
        ("curr_time", "batch_value", "    batch_value", "`batch_value`", "rename"),
        ("batch_value", "branch_name", "    branch_name: amount", "`branch_name`", "rename"),
        ("branch_name", "event_count", "    event_count", "`event_count`", "rename"),
        ("minimum: -100", "minimum: 101", "minimum: 101", "`minimum` over", "exchange"),
        ("minimum: -100", "minimum: 0.125", "minimum: 0.125", "hold: 0.125", "it can"),
        ("[branch, currency, f", "[branch, branch, f", "references:", "repeats `branch`", "once"),
        ("currency, fx_rate]", "event, fx_rate]", "references:", "names `event`", "another"),
        ("    fx_rate: 0", "    fx_rat: 0", "    fx_rat: 0", "`fx_rat`", "mean `fx_rate`?"),
        ("decimal(18,2)", "decimal(28,2)", "type: decimal", "cannot read whole", "at most 20"),
        ("group_by: [branch, c", "group_by: [branhc, c", ": [branhc", "`branhc`", "mean `branch`?"),
        ("amount_rub]", "amount_rubl]", "sum: [amo", "`report.hourly.sum`", "`amount_rub`?"),
        ("[amount, amount_eur", "[amount, amount", "sum: [amount", "repeats `amount`", "once"),
        ("[amount, amount_eur", "[branch, amount_eur", "sum: [branch", "repeats `branch`", "once"),
        ("[amount, amount_eur", "[event_count, amount", "sum: [event", "`event_count`", "none of"),
        ("[branch, currency]\n    sum", "[is_first]\n    sum", "[is_first]", "`is_first`", "allow"),
        ("[branch, currency]\n    sum", "[c]\n    sum", "[c]", "no column of the facts", "allowed"),
        ("amount_rub]", "rub_rate_date]", "sum: [amo", "which is date", "decimal, integer"),
        ("decimal(20,2)", "double", "sum: [amo", "which is double", "the same sums"),
        (
            "    region:",
            f"    branch: {NEW}\n    region:",
            "    branch: {",
            "every event",
            "another",
        ),
        (
            "    region:",
            f"    kafka_time: {NEW}\n    region:",
            "    kafka_time",
            "every event",
            "an",
        ),
        (
            "    city:",
            f"    town: {NEW}\n    city:",
            "    town:",
            "enrich.sql does not",
            "return it",
        ),
        ("type: decimal(18,8)", "type: decimal(8,9)", "decimal(8,9)", "is decimal(8,9)", "s <= p"),
        (
            "branch_name: branch",
            "branch_name: branch\n    again: branch",
            "    again:",
            "report.transaction_position_by_group would have two columns `branch`",
            "once",
        ),
    ],
)
def test_contradiction_is_refused(
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


@pytest.mark.parametrize(
    ("declaration", "key", "what", "cure"),
    [
        ("type: integer; enum: ['1']", "enum", "has `enum` but is integer", "remove it"),
        ("type: string; enum: []", "enum", "empty or repeating `enum`", "at least one"),
        ("type: string; enum: [a, a]", "enum", "empty or repeating `enum`", "once"),
        ("type: string; minimum: 1", "minimum", "has `minimum` but is string", "remove it"),
        ("type: timestamp; maximum: 1", "maximum", "has `maximum` but is timestamp", "remove it"),
        ("type: decimal(2,1); maximum: 10", "maximum", "decimal(2,1) cannot hold: 10", "it can"),
        ("type: integer; maximum: 1.5", "maximum", "integer cannot hold: 1.5", "it can"),
        ("type: integer; maximum: 9223372036854775808", "maximum", "cannot hold: 9", "it can"),
        ("type: double; maximum: 1.0e+999", "maximum", "double cannot hold: 1.0E+999", "it can"),
        ("type: uuid; pattern: a", "pattern", "has `pattern` but is uuid", "remove it"),
        ("type: double; max_length: 3", "max_length", "has `max_length` but is", "remove it"),
        ("type: decimal(2,3)", "type", "is decimal(2,3)", "s <= p"),
        ("type: decimal(39,2)", "type", "is decimal(39,2)", "p <= 38"),
        ("type: decimal(0,0)", "type", "is decimal(0,0)", "1 <= p"),
    ],
)
def test_field_is_refused(
    declaration: str,
    key: str,
    what: str,
    cure: str,
    with_note: WithNote,
    first_mistake: FirstMistake,
) -> None:
    edited = with_note(declaration)
    line, found, remedy = first_mistake(edited)
    assert line == edited[: edited.index(f" {key}:", edited.index("note:"))].count("\n") + 1
    assert "`note`" in found
    assert what in found
    assert cure in remedy


def test_bound_of_a_double_may_have_any_fraction(with_note: WithNote, load: Load) -> None:
    load(with_note("type: double; minimum: 0.1; maximum: 0.10"))


@pytest.mark.parametrize("name", RESERVED)
def test_field_named_like_a_raw_column(name: str, text: str, first_mistake: FirstMistake) -> None:
    declared = f"  {name}: {{type: string, description: x}}\n  branch:"
    line, what, cure = first_mistake(text.replace("  branch:", declared, 1))
    assert line == text[: text.index("  branch:")].count("\n") + 1
    assert what == f"`{name}` is a column of the raw table itself"
    assert name in cure


@pytest.mark.parametrize("name", [*BATCH_COLUMNS, UNMATCHED])
def test_field_named_like_a_column_of_facts(
    name: str, text: str, first_mistake: FirstMistake
) -> None:
    declared = f"  {name}: {{type: string, description: x}}\n  branch:"
    line, what, cure = first_mistake(text.replace("  branch:", declared, 1))
    assert line == text[: text.index("  branch:")].count("\n") + 1
    assert what == f"`{name}` is a column that facts have beside the fields"
    assert name in cure


@pytest.mark.parametrize("name", [*RESERVED, *BATCH_COLUMNS, UNMATCHED])
def test_the_page_on_contracts_names_what_no_field_is_named(name: str) -> None:
    lines = (ROOT / "docs" / "contracts.md").read_text().splitlines()
    assert any(f"`{name}`" in line for line in lines if "not named" in line)


def test_a_report_with_references_needs_a_query(
    text: str, folder: Path, first_mistake: FirstMistake
) -> None:
    (folder / ENRICH_FILE).unlink()
    line, what, cure = first_mistake(text)
    assert text.splitlines()[line - 1] == "report:"
    assert what == "`report` needs enrich.sql beside it, for `references` and `report.columns`"
    assert "docs/contracts.md" in cure


@pytest.fixture
def bare(text: str) -> str:
    """The contract without references, and with nothing particular in its report."""
    head, _, _ = text.partition("\n# The batch layer")
    return f"{head}\nreport: {{}}\n"


def test_a_report_may_be_all_derived(bare: str, folder: Path, load: Load) -> None:
    for name in (ENRICH_FILE, REPORT_FILE):
        (folder / name).unlink()
    contract = load(bare)
    assert contract.hourly.group_by == ("branch", "currency")
    assert contract.hourly.sum == ("amount",)
    assert derived.columns(contract)[""] == (*contract.fields, *derived.PIPELINE)


def test_a_report_that_says_nothing_says_so(bare: str, first_mistake: FirstMistake) -> None:
    """An empty key would read as none: no batch layer, without a word."""
    line, what, cure = first_mistake(bare.replace("report: {}", "report:"))
    assert bare.splitlines()[line - 1] == "report: {}"
    assert what == "`report` cannot be empty"
    assert cure.startswith("write `report: {}`, or take it out")


@pytest.mark.parametrize(
    "name", ["position", "opening", "final_until", "interval_end", "batch_amount", "flow_count"]
)
def test_a_group_that_a_view_has_of_its_own(
    name: str, bare: str, folder: Path, first_mistake: FirstMistake
) -> None:
    (folder / ENRICH_FILE).unlink()
    edited = bare.replace("  currency:\n", f"  {name}:\n").replace(": currency", f": {name}")
    line, what, cure = first_mistake(edited)
    assert edited.splitlines()[line - 1] == f"    currency_code: {name}"
    assert what.endswith(f"would have two columns `{name}`")
    assert cure.startswith("rename it")


DIFFERING = [
    *("a.c", "^a", "a$", r"a\s", r"\bword", "a*?", "a++", "(?=a)", r"(a)\1", "(?i)a", r"\p{L}"),
    *("[a-z&&[b]]", "[[:alpha:]]", "a{2,1}", "[z-a]", "(a", "a)", "a{", r"a\Z", "+", "[]a]"),
]


@pytest.mark.parametrize("pattern", DIFFERING)
def test_pattern_that_engines_read_differently(
    pattern: str, with_note: WithNote, first_mistake: FirstMistake
) -> None:
    edited = with_note(f"type: string; pattern: '{pattern}'")
    line, what, cure = first_mistake(edited)
    assert edited.splitlines()[line - 1] == f"    pattern: '{pattern}'"
    assert "`note` has a `pattern`" in what
    assert "whole value" in cure


@pytest.mark.parametrize(
    "pattern", [r"\d{3}", "[A-Z]{2,}(?:-[a-z_]+)*", r"a\.b|[^,\]]?", r"[\w-]+@[\w.-]+", "(ab)+c{2}"]
)
def test_pattern_that_engines_share(pattern: str, with_note: WithNote, load: Load) -> None:
    contract = load(with_note(f"type: string; pattern: '{pattern}'"))
    assert contract.fields["note"].pattern == pattern
