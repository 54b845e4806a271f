"""A mistake in an enrichment query is refused with file, line and cure, without a JVM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from watershed.contracts.derived import event_columns
from watershed.contracts.model import Contract
from watershed.contracts.query import AS_IT_IS, Query, check_query, read_query
from watershed.errors import ContractError

ADDED = ["region", "city", "currency_name", "eur_rate", "eur_rate_source", "eur_rate_date",
         "rub_rate", "rub_rate_source", "rub_rate_date", "amount_eur", "amount_rub",
         "unmatched"]  # fmt: skip


@pytest.fixture
def query(transaction_folder: Path) -> Query:
    return read_query(transaction_folder.parent, "transaction")


def test_columns_of_the_result(query: Query, transaction: Contract) -> None:
    columns, flaws = check_query(query.text, transaction)
    assert (columns, flaws) == ([*event_columns(transaction), *ADDED], [])


@pytest.mark.parametrize(
    ("old", "new", "on_line", "what", "cure"),
    [
        ("LEFT JOIN branch ON", "LEFT JOIN branhc ON", "branhc", "reads `branhc`", "`branch`?"),
        ("JOIN currency AS", "JOIN x.currency AS", "x.curr", "`x.currency AS money`", "`refer"),
        ("FROM event", "FROM event, range(2)", "range(2)", "no view", "allowed: branch"),
        ("branch = event.branch", "branch = event.bbranch", "bbranch", "no such", "`branch`?"),
        (
            "    event.*,\n",
            "    event.amount,\n",
            "event.amount",
            "`arrival_time`",
            "add `event.*`",
        ),
        ("AS unmatched", "AS missing", "event.*", "not return `unmatched`", "an array"),
        ("branch.city", "rand() AS city", "rand()", "`RAND()`", "must find the same"),
        ("branch.city", "now() AS city", "now()", "`NOW()`", "must find the same"),
        ("branch.city", "current_date AS city", "current_date", "from run to run", "the columns"),
        ("branch.city", "branch.*", "branch.*", "all columns of `branch`", "name those"),
        ("branch.city", "branch.city || '!'", "branch.city ||", "without a plain name", "AS and"),
        ("branch.city", "branch.city AS `Ci ty`", "Ci ty", "without a plain name", "lower-case"),
        ("branch.city", "event.amount", "event.*", "two columns `amount`", "rename one"),
        ("branch.city", "branch.city AS town", "branch.city AS", "returns `town`", "`report.col"),
        ("LEFT JOIN branch ON", "LEFT JOIN branch ON ON", "ON ON", "cannot be parsed", "Spark"),
        ("SELECT\n", "DELETE FROM event; SELECT\n", "-- A", "not one query", "one SELECT"),
    ],
)
def test_flaw_is_named(
    old: str,
    new: str,
    on_line: str,
    what: str,
    cure: str,
    query: Query,
    text: str,
    folder: Path,
    load: Callable[[str], Contract],
) -> None:
    assert old in query.text
    edited = query.text.replace(old, new, 1)
    (folder / "enrich.sql").write_text(edited)
    with pytest.raises(ContractError) as caught:
        load(text)
    line = edited[: edited.index(on_line)].count("\n") + 1
    found = caught.value.cause.splitlines()[0]
    assert f"enrich.sql:{line}: " in found
    assert what in found
    assert cure in caught.value.remedy


def test_stars_of_subqueries_are_followed(transaction: Contract) -> None:
    columns, flaws = check_query(
        "WITH a AS (SELECT *, 1 AS city FROM event), b AS (SELECT region, branch FROM branch)"
        " SELECT a.*, b.region, c.two, array() AS unmatched"
        " FROM a JOIN b USING (branch)\nCROSS JOIN (SELECT 2 AS two) AS c",
        transaction,
    )
    assert columns == [*event_columns(transaction), "city", "region", "two", "unmatched"]
    [flaw] = flaws
    assert flaw.what == "returns `two`, which the contract does not describe"
    assert flaw.cure.startswith("add it to `report.columns` of the contract, or leave it out")


def test_a_contract_without_a_query_takes_events_as_they_are(transaction: Contract) -> None:
    assert check_query(AS_IT_IS, transaction) == ([*event_columns(transaction), "unmatched"], [])
    assert read_query(Path("schemas"), "no_such_type").text == AS_IT_IS


def test_another_text_has_another_name(query: Query) -> None:
    assert query.sha256 != Query(query.path, query.text + "\n").sha256
    assert len(query.sha256) == 64
