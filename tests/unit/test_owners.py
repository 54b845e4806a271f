"""One owner per table, one thing per name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from watershed.stack.home import ROOT

STATEMENT = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|USING)\s+control\.\w+")
OWNERS = ("watershed/stores/", "watershed/speed/", "watershed/batch/")


def statements(source: str) -> Iterator[str]:
    """What string literals of a module say of tables in ``control``; not what docstrings say."""
    tree = ast.parse(source)
    documented = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and node not in documented
            and isinstance(node.value, str)
        ):
            yield from STATEMENT.findall(node.value)


def test_sql_of_control_stands_with_its_owner() -> None:
    found = {
        str(path.relative_to(ROOT)): said
        for folder in ("watershed", "jobs", "dags", "producers")
        for path in (ROOT / folder).rglob("*.py")
        if (said := list(statements(path.read_text())))
    }
    assert [path for path in found if not path.startswith(OWNERS)] == []
    assert len(found) > 10


def test_statements_are_found() -> None:
    source = '''
def f(cursor):
    """Reads FROM control.stream."""
    cursor.execute("SELECT 1 FROM control.stream" " JOIN control.interval USING (x)")
    cursor.execute(f"UPDATE control.attempt SET a = {1}")
'''
    assert len(list(statements(source))) == 3


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "watershed").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
