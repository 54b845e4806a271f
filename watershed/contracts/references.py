"""What reference data there is: the shape of ``schemas/reference/references.yaml``.

The folder also has the tables' DDL, ``postgres.sql`` and ``mysql.sql``, and beside it folders of
the same names with the rows that a new table begins with, one CSV file per table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Strict, ValidationError, model_validator
from pydantic import Field as Limits
from pydantic.types import StringConstraints
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from watershed.contracts.model import Identifier
from watershed.errors import ContractError

FOLDER = "reference"
FILE = "references.yaml"

TableName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]
SparkType = Annotated[
    str, StringConstraints(pattern=r"^(string|int|date|decimal\([0-9]{1,2},[0-9]{1,2}\))$")
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(_Frozen):
    """One table: where it is kept, and what holds for every row.

    ``store`` is ``postgres`` or ``mysql`` with the ``table`` there, ``lake`` for a folder of the
    lake, or ``rates`` for what is made of rates. ``rules`` are Spark SQL predicates by what they
    say; ``:today`` is the day of the refresh in UTC. Of a table that is not ``kept`` a snapshot
    has no copy. ``copied_to`` is a table of PostgreSQL's that has the newest snapshot's rows.
    """

    store: Literal["postgres", "mysql", "lake", "rates"]
    table: TableName | None = None
    columns: Annotated[dict[Identifier, SparkType], Limits(min_length=1)]
    key: Annotated[tuple[Identifier, ...], Limits(min_length=1)]
    rules: dict[str, str] = {}
    kept: Annotated[bool, Strict()] = True
    may_be_empty: Annotated[bool, Strict()] = False
    copied_to: TableName | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.table is None) == (self.store in ("postgres", "mysql")):
            raise ValueError("`table` names one of PostgreSQL's or MariaDB's, and nothing else")
        if strange := set(self.key) - set(self.columns):
            raise ValueError(f"`key` names {', '.join(sorted(strange))}, which is no column")
        return self

    @property
    def place(self) -> str:
        """Where people find it."""
        if self.store == "lake":
            return "the lake"
        where = {"postgres": "PostgreSQL", "mysql": "MariaDB"}.get(self.store, "what is made of")
        return f"{where} {self.table or 'rates'}"


class CrossCheck(_Frozen):
    """What must hold between tables; ``broken`` is a Spark SQL query of the rows that break it."""

    rule: str
    broken: str
    remedy: str


class References(_Frozen):
    """Every table, in the order in which they are read, and what is checked between them."""

    tables: dict[Identifier, Reference]
    checks: tuple[CrossCheck, ...] = ()

    @property
    def kept(self) -> list[str]:
        """The tables of a snapshot: what a contract may name."""
        return [name for name, one in self.tables.items() if one.kept]


def load_references(schemas_dir: Path) -> References:
    """The references of the schemas folder. Raises ContractError that names file and key."""
    path = schemas_dir / FOLDER / FILE
    shown = f"schemas/{FOLDER}/{FILE}"
    try:
        return References.model_validate(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ContractError(f"{shown}: cannot be read: {error}", "write it as YAML") from None
    except ValidationError as error:
        mistakes = [f"{shown}: {_mistake(one)}" for one in error.errors()]
        raise ContractError("\n".join(mistakes), "see docs/reference-data.md") from None


def _mistake(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"] if part != "[key]")
    return f"`{key}`: {error['msg'].removeprefix('Value error, ')}"
