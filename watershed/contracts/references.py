"""What reference data there is: the shape of ``schemas/reference/references.yaml``.

The folder also has the tables' DDL, ``postgres.sql`` and ``mysql.sql``, beside it folders of the
same names with the rows that a new table begins with, one CSV file per table, and the files and
queries that tables are read from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field as Limits
from pydantic import Strict, ValidationError, model_validator
from pydantic.types import StringConstraints
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from watershed.contracts.model import Frozen, Identifier
from watershed.errors import ContractError

FOLDER = "reference"
FILE = "references.yaml"

TableName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]
FilePath = Annotated[
    str,
    StringConstraints(pattern=r"^(lake:|package:[a-z][a-z0-9_]*/)?[\w-][\w.=-]*(/[\w-][\w.=-]*)*$"),
]
SparkType = Annotated[
    str, StringConstraints(pattern=r"^(string|int|date|decimal\([0-9]{1,2},[0-9]{1,2}\))$")
]
SERVERS = {"postgres": "PostgreSQL", "mysql": "MariaDB"}
"""The stores that have tables; the others have a path."""


class Unpivot(Frozen):
    """How a file with a column per thing becomes rows: the header's names are values of ``names``,
    what stands below them of ``values``. ``by`` has what names a line: our column, its header."""

    names: Identifier
    values: Identifier
    by: Annotated[dict[Identifier, str], Limits(min_length=1)]


class Reference(Frozen):
    """One table: where it is kept, and what holds for every row.

    ``store`` is ``postgres`` or ``mysql`` with the ``table`` there; or ``parquet``, ``csv`` or
    ``sql`` with a ``path``, which lies beside references.yaml, or, with ``lake:`` before it, in the
    lake, or with ``package:NAME/`` in a Python package. ``sql`` is a Spark SQL query over the
    tables above it. Of a CSV file with a header, packed with zip or not, ``nulls`` is the text that
    stands for no value. ``rules`` are Spark SQL predicates by what they say; ``:today`` is the day
    of the refresh in UTC. Of a table that is not ``kept`` a snapshot has no copy. ``copied_to`` is
    a table of PostgreSQL's that has the newest snapshot's rows.
    """

    store: Literal["postgres", "mysql", "parquet", "csv", "sql"]
    table: TableName | None = None
    path: FilePath | None = None
    unpivot: Unpivot | None = None
    nulls: str = ""
    columns: Annotated[dict[Identifier, SparkType], Limits(min_length=1)]
    key: Annotated[tuple[Identifier, ...], Limits(min_length=1)]
    rules: dict[str, str] = Limits(default_factory=dict)
    kept: Annotated[bool, Strict()] = True
    may_be_empty: Annotated[bool, Strict()] = False
    copied_to: TableName | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        is_served = self.store in SERVERS
        if (self.table is not None) != is_served or (self.path is None) != is_served:
            wanted, other = ("table", "path") if is_served else ("path", "table")
            raise ValueError(f"of {self.store} write `{wanted}`, and no `{other}`")
        if self.store != "csv" and (self.unpivot or self.nulls):
            raise ValueError("`unpivot` and `nulls` are for csv")
        if self.store == "sql" and ":" in str(self.path):
            raise ValueError("`path` of sql is a file beside this one")
        unpivot = self.unpivot
        named = [unpivot.names, unpivot.values, *unpivot.by] if unpivot else []
        for key, names in {"key": self.key, "unpivot": named}.items():
            if strange := set(names) - set(self.columns):
                raise ValueError(f"`{key}` names {', '.join(sorted(strange))}, which is no column")
        return self

    @property
    def file(self) -> str | None:
        """The file beside references.yaml, if that is where it is."""
        return None if self.path is None or ":" in self.path else self.path

    @property
    def where(self) -> str:
        """Where people find it."""
        if self.store in SERVERS:
            return f"{SERVERS[self.store]} {self.table}"
        return f"schemas/{FOLDER}/{self.path}" if self.file else str(self.path)


class CrossCheck(Frozen):
    """What must hold of tables; ``broken`` is a Spark SQL query of the rows that break it."""

    rule: str
    broken: str
    remedy: str


class References(Frozen):
    """Every table, in the order in which they are read.

    A snapshot is only taken where all ``checks`` hold; where one of ``warnings`` does not, an alert
    says so.
    """

    tables: dict[Identifier, Reference]
    checks: tuple[CrossCheck, ...] = ()
    warnings: tuple[CrossCheck, ...] = ()

    @property
    def kept(self) -> list[str]:
        """The tables of a snapshot: what a contract may name."""
        return [name for name, table in self.tables.items() if table.kept]


def load_references(schemas_dir: Path) -> References:
    """The references of the schemas folder. Raises ContractError that names file and key."""
    path = schemas_dir / FOLDER / FILE
    shown = f"schemas/{FOLDER}/{FILE}"
    try:
        text = path.read_text(encoding="utf-8")
        references = References.model_validate(YAML(typ="safe").load(text))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ContractError(f"{shown}: cannot be read: {error}", "write it as YAML") from None
    except ValidationError as error:
        mistakes = [f"{shown}: {_mistake(one)}" for one in error.errors()]
        raise ContractError("\n".join(mistakes), "see docs/reference-data.md") from None
    for name, table in references.tables.items():
        if table.file and not (path.parent / table.file).exists():
            raise ContractError(
                f"{shown}: `tables.{name}.path`: there is no {table.where}", "write it there"
            )
    return references


def _mistake(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"] if part != "[key]")
    return f"`{key}`: {error['msg'].removeprefix('Value error, ')}"
