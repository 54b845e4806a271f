"""The versions of a contract that events came in under: ``control.contract``.

A version means one contract for ever. A new one must be able to read what older ones stored: it
may add fields that may be absent, and change rules; it takes effect when a stream starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.contracts.model import Contract
from watershed.errors import ContractError
from watershed.speed.progress import Progress
from watershed.stores.postgres import transaction


def check(cursor: Cursor, contract: Contract) -> bool:
    """Whether the contract's version is a new one, for which there may be no columns yet.

    Raises ContractError if it may not follow those that are stored already. Reads in this
    connection's transaction.
    """
    found = _newest(cursor, contract.type)
    if found is None:
        return True
    version, stored = found
    name = f"contract {contract.type}"
    if contract.version < version:
        raise ContractError(
            f"{name} has version {contract.version}; events came in under version {version}",
            f"deploy version {version} again, or raise the version above it",
        )
    if contract.version == version and stored != definition(contract):
        keys = ", ".join(changed(stored, definition(contract)))
        raise ContractError(
            f"{name} was changed ({keys}) and is still version {version}",
            f"raise its version to {version + 1}, or undo the change; then ./ws down and ./ws up",
        )
    if faults := list(unreadable(stored, contract)):
        raise ContractError(
            f"{name}, version {contract.version}: {'; '.join(faults)}: what is stored could not be"
            " read",
            "undo that and declare a new field, not required or nullable, or a new type",
        )
    return contract.version > version


def adopt(connection: Connection, contract: Contract, at: Mapping[int, Progress]) -> None:
    """Note that the contract's version is in effect from these committed offsets on.

    Raises ContractError as :func:`check` does.
    """
    with transaction(connection) as cursor:
        check(cursor, contract)
        since = json.dumps({partition: state.next for partition, state in at.items()})
        cursor.execute(
            "INSERT INTO control.contract (type, version, definition, since)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [contract.type, contract.version, json.dumps(definition(contract)), since],
        )
        cursor.execute(
            "UPDATE control.stream SET contract_version = %s WHERE type = %s",
            [contract.version, contract.type],
        )


def first_adopted(cursor: Cursor, event_type: str) -> datetime | None:
    """When a stream first took a version of the contract."""
    cursor.execute("SELECT min(taken_at) FROM control.contract WHERE type = %s", [event_type])
    [found] = cursor.fetchone() or [None]
    return found


def bounds(cursor: Cursor, contract: Contract, field: str) -> tuple[Decimal | None, Decimal | None]:
    """The least and the most that any version allows a number; None where one sets no bound."""
    cursor.execute("SELECT definition FROM control.contract WHERE type = %s", [contract.type])
    known = [definition(contract), *(stored for (stored,) in cursor.fetchall())]
    said = [one["fields"][field] for one in known if field in one["fields"]]
    return _widest(said, "minimum", min), _widest(said, "maximum", max)


def _widest(
    said: list[dict[str, Any]], bound: str, widest: Callable[[list[Decimal]], Decimal]
) -> Decimal | None:
    found = [Decimal(one[bound]) for one in said if one.get(bound) is not None]
    return widest(found) if len(found) == len(said) else None


def definition(contract: Contract) -> dict[str, Any]:
    """What a contract says of events, without defaults, texts for people, topic and reports."""
    apart = {"version", "description", "topic", "references", "report"}
    said = contract.model_dump(mode="json", exclude_defaults=True, exclude=apart)
    fields = {name: _undescribed(field) for name, field in said["fields"].items()}
    return said | {"fields": fields}


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The keys, one level deep, whose values differ."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            parts = before.keys() | after.keys()
            found += [f"{key}.{p}" for p in sorted(parts) if before.get(p) != after.get(p)]
        elif before != after:
            found.append(key)
    return found


def unreadable(stored: Mapping[str, Any], contract: Contract) -> Iterator[str]:
    """Why rows of a stored definition could not be read under this contract."""
    for key in ("event_id", "event_time", "entity"):
        if stored[key] != getattr(contract, key):
            yield f"`{key}` is another field"
    for name, old in stored["fields"].items():
        if name not in contract.fields:
            yield f"field `{name}` is gone"
        elif contract.fields[name].type != old["type"]:
            yield f"field `{name}` was {old['type']}"
        elif _may_be_absent(old) and _is_needed(contract, name):
            yield f"field `{name}` could be absent before"
    for name in contract.fields.keys() - stored["fields"].keys():
        if _is_needed(contract, name):
            yield f"new field `{name}` is required"


def _newest(cursor: Cursor, event_type: str) -> tuple[int, dict[str, Any]] | None:
    cursor.execute(
        "SELECT version, definition FROM control.contract WHERE type = %s"
        " ORDER BY version DESC LIMIT 1",
        [event_type],
    )
    row = cursor.fetchone()
    return (row[0], row[1]) if row else None


def _undescribed(field: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key != "description"}


def _may_be_absent(field: Mapping[str, Any]) -> bool:
    return not field.get("required", True) or field.get("nullable", False)


def _is_needed(contract: Contract, name: str) -> bool:
    field = contract.fields[name]
    return field.required and not field.nullable
