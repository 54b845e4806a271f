"""The critical rule is one condition over the fields of one event."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from watershed.contracts.model import Contract

RULE = "abs(amount) >= 95"


@pytest.mark.parametrize(
    ("rule", "what", "cure"),
    [
        ("abs(amount) >=", "at line 1, column 14 of the expression", "Spark SQL predicate"),
        ("amount > 1; amount < 2", "not one expression", "semicolon"),
        ("amount > 1;", "not one expression", "semicolon"),
        ("", "not one expression", "one predicate"),
        ("amount > 1 amount < 2 x", "at line 1, column 19", "Spark SQL predicate"),
        ("amount > '1", "cannot be parsed", "Spark SQL predicate"),
        ("amunt > 1", "undeclared field `amunt` at line 1, column 5", "mean `amount`?"),
        ("t.amount > 1", "undeclared field `t.amount`", "`amount`?"),
        ("zzz > 1", "undeclared field `zzz`", "declared: transaction_id, event_time"),
        ("abs(amount)", "not a condition", "compare"),
        ("amount > 1 and branch", "not a condition", "compare"),
        ("not branch", "not a condition", "compare"),
        ("amount > 1 as big", "not a condition", "compare"),
        ("drop table amount", "not a condition", "compare"),
        ("amount > (select 1)", "a subquery", "one event"),
        ("exists (select 1)", "a subquery", "one event"),
        ("sum(amount) > 1", "an aggregate at line 1, column 3", "one event"),
        ("row_number() over (order by amount) > 1", "a window function", "one event"),
        ("explode(branch) = 1", "a function that makes rows", "one event"),
        ("rand(1) > amount", "a random number", "one event"),
        ("event_time < current_timestamp()", "without arguments", "depend on the event"),
        ("abss(amount) > 1", "not one of Spark's common ones", "one event"),
        ("starts_with(branch, 'K')", "a function `starts_with`", "write STARTSWITH(branch, 'K')"),
        ("strpos(branch, 'K') > 0", "a function `strpos`", "write LOCATE('K', branch) > 0"),
        ("amount in", "`in` without a list at line 1", "in ('a', 'b')"),
        ("* > 1", "a star", "one event"),
        ("amount > :limit", "a parameter", "one event"),
    ],
)
def test_rule_is_refused(
    rule: str, what: str, cure: str, text: str, first_mistake: Callable[[str], tuple[int, str, str]]
) -> None:
    line, found, remedy = first_mistake(text.replace(RULE, f'"{rule}"'))
    assert text.splitlines()[line - 1] == f"  when: {RULE}"
    assert found.startswith("`critical.when` ")
    assert what in found
    assert cure in remedy


@pytest.mark.parametrize(
    "rule",
    [
        "amount between -1 and 1 or branch in ('SPB', 'Kazan')",
        "not (branch like 'K%') and amount is not null",
        "note and amount <> 0",
        "startswith(lower(branch), 'k')",
        "case when branch = 'SPB' then 10 else 95 end < abs(amount)",
    ],
)
def test_rule_is_accepted(
    rule: str, with_note: Callable[[str], str], load: Callable[[str], Contract]
) -> None:
    assert load(with_note("type: boolean").replace(RULE, f'"{rule}"')).critical.when == rule
