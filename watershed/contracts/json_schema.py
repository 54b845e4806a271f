"""A contract as JSON Schema 2020-12, for those who send events and cannot import Watershed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from watershed.contracts.model import INT64, Contract, Field
from watershed.contracts.validate import longest

_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_TIMESTAMP = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})$"
)


def json_schema(contract: Contract) -> dict[str, Any]:
    """The JSON Schema of one event, ready for ``json.dumps``.

    The stream judges more strictly than a schema can: digits lost by a number, days that a month
    does not have, repeated keys.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{contract.type}, version {contract.version}",
        "description": contract.description,
        "type": "object",
        "properties": {name: _property(field) for name, field in contract.fields.items()},
        "required": [name for name, field in contract.fields.items() if field.required],
        "additionalProperties": True,
    }


def _property(field: Field) -> dict[str, Any]:
    schema = {"description": field.description, **_typed(field)}
    if field.nullable:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*types, "null"]
    return schema


def _typed(field: Field) -> dict[str, Any]:
    match field.kind:
        case "string":
            return _string(field)
        case "uuid":
            return {"type": "string", "pattern": _UUID, "format": "uuid"}
        case "timestamp":
            return {"type": "string", "pattern": _TIMESTAMP, "format": "date-time"}
        case "boolean":
            return {"type": "boolean"}
        case "integer":
            least, most = INT64
            bits = {"minimum": least, "maximum": most}
            return {"type": "integer"} | bits | _bounds(field)
        case "double":
            return {"type": "number"} | _bounds(field)
        case _:
            return _decimal(field)


def _string(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if field.enum is not None:
        schema["enum"] = [*field.enum, None] if field.nullable else list(field.enum)
    if field.pattern is not None:
        schema["pattern"] = f"^(?:{field.pattern})$"
    if (most := longest(field)) is not None:
        schema["maxLength"] = most
    return schema


def _decimal(field: Field) -> dict[str, Any]:
    precision, scale = field.decimal or (0, 0)
    whole = precision - scale
    integer = rf"(0|[1-9][0-9]{{0,{whole - 1}}})" if whole else "0"
    fraction = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
    money = f"^-?{integer}{fraction}$"
    return {"type": ["number", "string"], "pattern": money} | _bounds(field)


def _bounds(field: Field) -> dict[str, int | float]:
    bounds = {"minimum": field.minimum, "maximum": field.maximum}
    return {key: _plain(bound) for key, bound in bounds.items() if bound is not None}


def _plain(bound: Decimal) -> int | float:
    return int(bound) if bound == int(bound) else float(bound)
