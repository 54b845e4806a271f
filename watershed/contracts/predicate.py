"""The critical rule: a Spark SQL predicate over one event, checked without a JVM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from watershed.contracts.model import Field

SPARK = "spark"
_BOOLEAN = (exp.Predicate, exp.StartsWith, exp.EndsWith, exp.Contains)
_FORBIDDEN: dict[type[exp.Expr], str] = {
    exp.Query: "a subquery",
    exp.Window: "a window function",
    exp.AggFunc: "an aggregate",
    exp.UDTF: "a function that makes rows",
    exp.Placeholder: "a parameter",
    exp.Parameter: "a parameter",
    exp.Star: "a star",
    exp.Rand: "a random number",
    exp.Randn: "a random number",
    exp.Anonymous: "a function that is not one of Spark's common ones",
}


def fault(text: str, fields: Mapping[str, Field]) -> tuple[str, str] | None:
    """``(what is wrong, cure)`` of a predicate over these fields, None if it is sound.

    Sound is one boolean expression of declared fields whose value depends on them alone, so that
    a repeated batch finds the same events critical.
    """
    try:
        statements = sqlglot.parse(text, dialect=SPARK)
    except SqlglotError as error:
        return _unparsable(error)
    root = statements[0]
    if len(statements) != 1 or root is None or text.rstrip().endswith(";"):
        return "`critical.when` is not one expression", "write one predicate, without a semicolon"
    return next(_faults(root, fields), None) or _foreign(text, root)


def _foreign(text: str, root: exp.Expr) -> tuple[str, str] | None:
    """A function by a name of another database, which sqlglot understands and Spark does not."""
    ours = root.sql(dialect=SPARK)
    if strange := _called(text) - _called(ours):
        name = min(strange)
        return f"`critical.when` has a function `{name}` that Spark may not have", f"write {ours}"
    return None


def _called(text: str) -> set[str]:
    """The names before parentheses, in lower case."""
    tokens = sqlglot.tokenize(text, dialect=SPARK)
    return {
        token.text.lower()
        for token, following in pairwise(tokens)
        if token.token_type is sqlglot.TokenType.VAR and following.text == "("
    }


def _unparsable(error: SqlglotError) -> tuple[str, str]:
    cure = "write a Spark SQL predicate such as abs(amount) >= 95"
    if not isinstance(error, ParseError) or not error.errors:
        return f"`critical.when` cannot be parsed: {error}", cure
    first = error.errors[0]
    at = f"line {first['line']}, column {first['col']} of the expression"
    return f"`critical.when` cannot be parsed at {at}: {first['description']}", cure


def _faults(root: exp.Expr, fields: Mapping[str, Field]) -> Iterator[tuple[str, str]]:
    for node in root.walk():
        for kind, name in _FORBIDDEN.items():
            if isinstance(node, kind):
                yield _at(node, name), "use the fields and literals of one event only"
        if isinstance(node, exp.In) and not node.expressions:
            yield _at(node, "`in` without a list"), "write the values as in ('a', 'b')"
        if isinstance(node, exp.Func) and not list(node.iter_expressions()):
            yield _at(node, "a function without arguments"), "its value must depend on the event"
        if isinstance(node, exp.Column) and (node.name not in fields or node.table):
            close = get_close_matches(node.name, fields, n=1)
            known = f"did you mean `{close[0]}`?" if close else f"declared: {', '.join(fields)}"
            yield _at(node, f"an undeclared field `{node.sql()}`"), known
    if not _is_boolean(root, fields):
        yield (
            f"`critical.when` is not a condition: {root.sql('spark')}",
            "compare: =, <, >=, in, between, like, is null, joined by and, or, not",
        )


def _at(node: exp.Expr, what: str) -> str:
    places = [part.meta for part in node.walk() if "start" in part.meta]
    first = min(places, key=lambda meta: int(meta["start"]), default=None)
    where = f" at line {first['line']}, column {first['col']} of the expression" if first else ""
    return f"`critical.when` has {what}{where}"


def _is_boolean(node: exp.Expr, fields: Mapping[str, Field]) -> bool:
    if isinstance(node, exp.Connector):
        return all(_is_boolean(side, fields) for side in (node.left, node.right))
    if isinstance(node, exp.Not | exp.Paren):
        return _is_boolean(node.this, fields)
    if isinstance(node, exp.Column):
        return node.name in fields and fields[node.name].kind == "boolean"
    return isinstance(node, _BOOLEAN)
