"""Contracts from their YAML files; a mistake is named with file, line and cure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode

from watershed.contracts import derived
from watershed.contracts.model import TOPIC_NAME, Contract, Field
from watershed.contracts.query import AS_IT_IS, ENRICH_FILE, REPORT_FILE, check_query
from watershed.contracts.rules import Mistake, clash, mistakes, nearest, report_mistakes
from watershed.errors import ContractError

CONTRACT_FILE = "contract.yaml"
_TYPES = "string, uuid, boolean, integer, double, timestamp or decimal(p,s)"
_CURES = {
    "string_type": "write text, in quotes if it looks like a number or a date",
    "tuple_type": "write a list such as [a, b]",
    "dict_type": "write a block of `name: value` lines",
    "bool_type": "write true or false",
}


class _ExactConstructor(RoundTripConstructor):
    """Reads ``0.1`` as the decimal that is written, not as the nearest double; keys are text."""

    def construct_keyed(self, node: MappingNode) -> Iterator[CommentedMap]:
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str" or not key.value.isprintable():
                raise ConstructorError(problem="a key is not text", problem_mark=key.start_mark)
        yield from self.construct_yaml_map(node)

    def construct_exact(self, node: ScalarNode) -> Decimal | str:
        try:
            return Decimal(node.value.replace("_", ""))
        except InvalidOperation:  # .inf and .nan: text, which no number accepts
            return str(node.value)


_ExactConstructor.add_constructor("tag:yaml.org,2002:float", _ExactConstructor.construct_exact)
_ExactConstructor.add_constructor("tag:yaml.org,2002:map", _ExactConstructor.construct_keyed)


def load_contracts(
    schemas_dir: Path, renamed: Mapping[str, str] | None = None
) -> dict[str, Contract]:
    """The contract of every folder that has one, by event type, in order of the names.

    ``renamed`` has the topic of an event type where it is not the contract's. Raises
    ContractError for the first file with mistakes, for a folder that is not named after its type,
    for a topic that two contracts name, for two contracts that would need one name for two things,
    and where there is no contract at all.
    """
    contracts: dict[str, Contract] = {}
    topics: dict[str, str] = {}
    taken: dict[tuple[str, str], str] = {}
    for path in sorted(schemas_dir.glob(f"*/{CONTRACT_FILE}")):
        tree = _tree(path)
        contract = _contract(path, tree)
        _refuse(path, tree, _misplaced(contract, path.parent.name, topics))
        _refuse(path, tree, (clash(*found) for found in derived.clashes(contract, taken)))
        contracts[contract.type] = contract
        topics[contract.topic.name] = contract.type
        created = _created(path, contract, taken)
        taken |= dict(derived.taken_by(contract, created))
    if not contracts:
        raise ContractError(
            f"{_shown(schemas_dir)}: no folder in it has a {CONTRACT_FILE}",
            "name the folder that holds one folder per event type",
        )
    return _with_topics(contracts, renamed or {})


def _with_topics(contracts: dict[str, Contract], renamed: Mapping[str, str]) -> dict[str, Contract]:
    """The contracts with other topics, judged as if they stood in the file."""
    for name, topic in renamed.items():
        others = {contract.topic.name for contract in contracts.values() if contract.type != name}
        if name not in contracts or topic in others or not TOPIC_NAME.fullmatch(topic):
            raise ContractError(
                f"topics={name}={topic}: there is no such event type, no such topic name is"
                " allowed, or another type has it",
                f"event types are {', '.join(contracts)}; each has a topic of its own",
            )
        old = contracts[name]
        contracts[name] = old.model_copy(
            update={"topic": old.topic.model_copy(update={"name": topic})}
        )
    return contracts


def load_contract(path: Path) -> Contract:
    """The contract in one YAML file.

    Raises ContractError with every mistake of the file, one a line, each as ``file:line: what``.
    """
    return _contract(path, _tree(path))


def _contract(path: Path, tree: CommentedMap) -> Contract:
    try:
        contract = Contract.model_validate(tree)
    except ValidationError as error:
        found = [_translated(tree, e["type"], e["loc"], e["msg"]) for e in error.errors()]
        raise _error(path, tree, found) from None
    _refuse(path, tree, mistakes(contract))
    if contract.report:
        _refuse(path, tree, report_mistakes(contract, _enriched(path, tree, contract)))
    return contract


def _enriched(path: Path, tree: CommentedMap, contract: Contract) -> list[str]:
    """The columns that the query beside the contract returns. Raises ContractError."""
    file = path.with_name(ENRICH_FILE)
    is_needed = contract.references or (contract.report and contract.report.columns)
    if not file.is_file() and is_needed:
        what = f"`report` needs {file.name} beside it, for `references` and `report.columns`"
        cure = "write it, or take those out; docs/contracts.md says what is in it"
        _refuse(path, tree, [Mistake(("report",), what, cure)])
    columns, flaws = check_query(_text(file) if file.is_file() else AS_IT_IS, contract)
    if flaws:
        raise _refusal(file, flaws)
    return columns


def _created(path: Path, contract: Contract, taken: Mapping[tuple[str, str], str]) -> list[str]:
    """What ``report.sql`` beside the contract creates. Raises ContractError for a name that is
    taken, or longer than PostgreSQL keeps."""
    file = path.with_name(REPORT_FILE)
    if not contract.report or not file.is_file():
        return []
    found = list(derived.created(_text(file)))
    taken = {**taken, **dict(derived.taken_by(contract))}
    flaws = []
    for line, name in found:
        if other := derived.SHARED["report"].get(name) or taken.get(("report", name)):
            flaws.append((line, f"creates `{name}`, which names {other}", "choose another name"))
        if len(name.encode()) > derived.NAME_BYTES:
            cure = f"PostgreSQL would cut it: use at most {derived.NAME_BYTES} bytes"
            flaws.append((line, f"creates `{name}`, of {len(name.encode())} bytes", cure))
    if flaws:
        raise _refusal(file, flaws)
    return [name for _, name in found]


def _misplaced(contract: Contract, folder: str, topics: dict[str, str]) -> Iterable[Mistake]:
    if contract.type != folder:
        what = f"type `{contract.type}` is in the folder `{folder}`"
        yield Mistake(("type",), what, f"rename the folder to `{contract.type}`")
    if other := topics.get(contract.topic.name):
        what = f"topic `{contract.topic.name}` already carries `{other}`"
        yield Mistake(("topic", "name"), what, "give each event type a topic of its own")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(
            f"{_shown(path)}:1: cannot be read: {error}", "write it as UTF-8 text"
        ) from None


def _tree(path: Path) -> CommentedMap:
    text = _text(path)
    yaml = YAML(typ="rt")
    yaml.Constructor = _ExactConstructor
    try:
        tree = yaml.load(text)
    except YAMLError as error:
        line, problem = _yaml_problem(error, text)
        raise ContractError(f"{_shown(path)}:{line}: {problem}", "correct the YAML") from None
    if not isinstance(tree, CommentedMap):
        raise ContractError(
            f"{_shown(path)}:1: is not a block of keys", "see docs/contracts.md for its keys"
        )
    return tree


def _yaml_problem(error: YAMLError, text: str) -> tuple[int, str]:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return error.problem_mark.line + 1, str(error.problem)
    position = getattr(error, "position", 0)
    return text.count("\n", 0, position) + 1, f"not YAML text: {str(error).splitlines()[0]}"


def _translated(tree: CommentedMap, kind: str, loc: tuple[str | int, ...], msg: str) -> Mistake:
    at = tuple(part for part in loc if part != "[key]")
    name = ".".join(map(str, at))
    if kind == "missing":
        return Mistake(at, f"`{name}` is missing", f"add `{at[-1]}`")
    if kind == "extra_forbidden":
        return Mistake(at, f"unknown key `{name}`", nearest(str(at[-1]), _keys(at[:-1])))
    value = at[-1] if loc[-1] == "[key]" else _value(tree, at)
    return Mistake(at, f"`{name}` cannot be {_excerpt(value)}", _cure(kind, at, msg))


def _cure(kind: str, at: tuple[str | int, ...], msg: str) -> str:
    if kind == "model_type":
        return f"write a block with keys of: {', '.join(_keys(at))}"
    if kind in _CURES:
        return _CURES[kind]
    if kind == "string_pattern_mismatch":
        if len(at) == 3 and at[-1] == "type":
            return f"write one of {_TYPES}"
        if at == ("topic", "name"):
            return "use letters, digits, dots, underscores and dashes, at most 200"
        limit = 32 if at == ("type",) else 48
        return f"use a lower-case letter, then letters, digits or underscores, at most {limit}"
    return msg.removeprefix("Value error, ").replace("Input should", "it should")


def _keys(at: tuple[str | int, ...]) -> list[str]:
    if at[:1] == ("fields",):
        return list(Field.model_fields)
    model: Any = Contract
    for key in at:
        annotation = model.model_fields[str(key)].annotation
        choices = (annotation, *get_args(annotation))
        model = next(
            (choice for choice in choices if isinstance(choice, type(BaseModel))), BaseModel
        )
    return list(model.model_fields)


def _value(tree: Any, at: tuple[str | int, ...]) -> object:
    for key in at:
        tree = tree[key]
    return tree


def _excerpt(value: object) -> str:
    if isinstance(value, dict | list):
        return "a block" if isinstance(value, dict) else "a list"
    return f"`{value}`" if value is not None else "empty"


def _refuse(path: Path, tree: CommentedMap, found: Iterable[Mistake]) -> None:
    if every := list(found):
        raise _error(path, tree, every)


def _error(path: Path, tree: CommentedMap, found: Iterable[Mistake]) -> ContractError:
    return _refusal(path, [(_line(tree, m.at), m.what, m.cure) for m in found])


def _refusal(path: Path, found: Sequence[tuple[int, str, str]]) -> ContractError:
    """One error of every ``(line, what is wrong, cure)`` in a file."""
    lines = sorted(found)
    cause = "\n".join(f"{_shown(path)}:{line}: {what}" for line, what, _ in lines)
    if len(lines) == 1:
        return ContractError(cause, lines[0][2])
    return ContractError(cause, "\n     ".join(f"line {line}: {cure}" for line, _, cure in lines))


def _line(node: Any, at: tuple[str | int, ...]) -> int:
    """The 1-based line of the deepest of these keys that the file has."""
    line = 0
    for key in at:
        places = getattr(getattr(node, "lc", None), "data", None) or {}
        if key not in places:
            break
        line, node = places[key][0], node[key]
    return line + 1


def _shown(path: Path) -> Path:
    try:
        return path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path
