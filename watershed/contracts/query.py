"""The enrichment query beside a contract, ``enrich.sql``, checked without a JVM.

It is one Spark SQL query over the view ``event`` and the contract's references. What it returns is
counted and summed when it runs; here is said what reading it shows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from watershed.contracts.derived import PIPELINE, event_columns
from watershed.contracts.model import BATCH_COLUMNS, UNMATCHED, Contract
from watershed.contracts.rules import EVENT, nearest

ENRICH_FILE, REPORT_FILE = "enrich.sql", "report.sql"
AS_IT_IS = f"SELECT {EVENT}.*, array() AS {UNMATCHED} FROM {EVENT}"
"""The query of a contract that has none: facts are the events as they are."""
ABOUT = "docs/contracts.md, What the batch layer makes of events"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_CHANGING_TYPES = (
    *(exp.Rand, exp.Randn, exp.Randstr, exp.Uniform, exp.Uuid, exp.Shuffle),
    *(exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtimestamp),
    *(exp.CurrentUser, exp.SessionUser, exp.CurrentTimezone),
)
_CHANGING = {"now", "monotonically_increasing_id", "spark_partition_id", "input_file_name"}


class Flaw(NamedTuple):
    """What is wrong on a line of the query, and what to write."""

    line: int
    what: str
    cure: str


@dataclass(frozen=True)
class Query:
    """The text of an ``enrich.sql``."""

    path: Path
    text: str

    @property
    def sha256(self) -> str:
        """Names the text in the ledger: another text may give other results."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_query(schemas_dir: Path, event_type: str) -> Query:
    """The query beside the contract of a type, or AS_IT_IS. Raises OSError, UnicodeDecodeError."""
    path = schemas_dir / event_type / ENRICH_FILE
    return Query(path, path.read_text(encoding="utf-8") if path.is_file() else AS_IT_IS)


def check_query(text: str, contract: Contract) -> tuple[list[str], list[Flaw]]:
    """The columns that the query returns, as far as they are known, and every flaw in it."""
    try:
        statements = sqlglot.parse(text, dialect="spark")
    except SqlglotError as error:
        return [], [_unparsable(error)]
    root = statements[0]
    if len(statements) != 1 or not isinstance(root, exp.Select):
        return [], [Flaw(1, "is not one query", "write one SELECT, without a semicolon")]
    views = {EVENT, *contract.references}
    flaws = [*_unknown_views(root, views), *_changing(root), *_unknown_columns(root, contract)]
    columns = _Columns({EVENT: event_columns(contract)}, [])
    found = columns.of(root)
    flaws += [
        *columns.flaws,
        *_missing(root, found, contract),
        *_undescribed(root, found, contract),
    ]
    return found, flaws


def _unparsable(error: SqlglotError) -> Flaw:
    cure = "write it as Spark SQL"
    if not isinstance(error, ParseError) or not error.errors:
        return Flaw(1, f"cannot be parsed: {error}", cure)
    first = error.errors[0]
    return Flaw(first["line"], f"cannot be parsed: {first['description']}", cure)


def _line(node: exp.Expr) -> int:
    """The first line that a part of the node stands on; where none has one, its parent's."""
    lines = [part.meta["line"] for part in node.walk() if "line" in part.meta]
    if lines or node.parent is None:
        return min(lines, default=1)
    return _line(node.parent)


def _unknown_views(root: exp.Select, views: set[str]) -> Iterator[Flaw]:
    known = views | {cte.alias for cte in root.find_all(exp.CTE)}
    for table in root.find_all(exp.Table):
        if table.name not in known or table.db:
            what = f"reads `{table.sql('spark', comments=False)}`, which is no view"
            yield Flaw(_line(table), what, f"{nearest(table.name, known)} (`references` adds some)")


def _changing(root: exp.Select) -> Iterator[Flaw]:
    for node in root.walk():
        name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
        if isinstance(node, _CHANGING_TYPES) or name in _CHANGING:
            what = f"has `{node.sql('spark')}`, whose value changes from run to run"
            yield Flaw(_line(node), what, "a repeated run must find the same: use the columns")


def _unknown_columns(root: exp.Select, contract: Contract) -> Iterator[Flaw]:
    known = event_columns(contract)
    names = {table.alias_or_name for table in root.find_all(exp.Table) if table.name == EVENT}
    for column in root.find_all(exp.Column):
        if column.table in names and not column.is_star and column.name not in known:
            what = f"`{column.sql('spark', comments=False)}`: `{EVENT}` has no such column"
            yield Flaw(_line(column), what, nearest(column.name, known))


@dataclass(frozen=True)
class _Columns:
    """Finds the names of a query's columns; those of references nobody has declared."""

    known: dict[str, Iterable[str]]
    flaws: list[Flaw]

    def of(self, query: exp.Expr) -> list[str]:
        if not isinstance(query, exp.Select):
            return self.of(query.this) if isinstance(query, exp.SetOperation | exp.Subquery) else []
        inner = _Columns(dict(self.known), self.flaws)
        for cte in query.ctes:
            inner.known[cte.alias] = inner.of(cte.this)
        names = [
            name for expression in query.expressions for name in inner._named(expression, query)
        ]
        self.flaws.extend(_repeated(query, names))
        return names

    def _named(self, column: exp.Expr, query: exp.Select) -> list[str]:
        if column.is_star:
            wanted = column.table if isinstance(column, exp.Column) else ""
            sources = [s for s in _sources(query) if not wanted or s.alias_or_name == wanted]
            return [name for source in sources for name in self._all_of(source, column)]
        name = column.alias_or_name
        if not _NAME.fullmatch(name):
            what = f"has a column without a plain name: {column.sql('spark', comments=False)}"
            cure = "write AS and a name of lower-case letters, digits and underscores"
            self.flaws.append(Flaw(_line(column), what, cure))
        return [name]

    def _all_of(self, source: exp.Expr, star: exp.Expr) -> list[str]:
        if isinstance(source, exp.Subquery):
            return self.of(source)
        if source.name not in self.known:
            what = f"takes all columns of `{source.name}`"
            self.flaws.append(Flaw(_line(star), what, "name those that are wanted"))
        return list(self.known.get(source.name, ()))


def _sources(query: exp.Select) -> list[exp.Expr]:
    start = query.args.get("from_")
    joins = query.args.get("joins") or []
    return [part.this for part in ([start] if start else []) + joins]


def _repeated(query: exp.Select, names: list[str]) -> Iterator[Flaw]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Flaw(_line(query), f"returns two columns `{name}`", "rename one, or leave it out")


def _missing(root: exp.Select, found: list[str], contract: Contract) -> Iterator[Flaw]:
    for name in dict.fromkeys((*contract.fields, *PIPELINE, *BATCH_COLUMNS)):
        if name not in found and name != UNMATCHED:
            cure = f"add `{EVENT}.*`, or `{EVENT}.{name}`"
            yield Flaw(_line(root), f"does not return `{name}`", cure)
    if UNMATCHED not in found:
        cure = "return an array of the references' names that have no row for the event"
        yield Flaw(_line(root), f"does not return `{UNMATCHED}`", cure)


def _undescribed(root: exp.Select, found: list[str], contract: Contract) -> Iterator[Flaw]:
    lines = {column.alias_or_name: _line(column) for column in root.expressions}
    described = contract.report.columns if contract.report else {}
    for name in dict.fromkeys(found):
        if name not in (*event_columns(contract), UNMATCHED, *described) and _NAME.fullmatch(name):
            what = f"returns `{name}`, which the contract does not describe"
            cure = f"add it to `report.columns` of the contract, or leave it out: {ABOUT}"
            yield Flaw(lines.get(name, _line(root)), what, cure)
