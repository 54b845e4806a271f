"""The JSON Schema is as recorded, is one, and takes every event that the validator takes."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watershed.contracts.json_schema import json_schema
from watershed.contracts.load import load_contract
from watershed.contracts.model import Contract, Field
from watershed.contracts.validate import Validator

RECORDED = Path(__file__).with_name("transaction.schema.json")
FOLDER = Path(__file__).parents[3] / "schemas" / "transaction"
TRANSACTION = load_contract(FOLDER / "contract.yaml")


def compiled(contract: Contract) -> jsonschema_rs.Validator:
    schema = json_schema(contract)
    jsonschema_rs.meta.validate(schema)
    return jsonschema_rs.validator_for(json.loads(json.dumps(schema)), validate_formats=True)


def test_transaction_schema_is_the_recorded_one() -> None:
    assert json_schema(TRANSACTION) == json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((FOLDER / "examples").glob("*.json")), ids=lambda p: p.stem)
def test_example_fits_the_schema(path: Path) -> None:
    assert compiled(TRANSACTION).is_valid(json.loads(path.read_bytes()))


SHAPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string", "pattern": "[a-z]+|-", "max_length": 3},
    "enum": {"type": "string", "enum": ("a", "b"), "nullable": True, "required": False},
    "uuid": {"type": "uuid"},
    "boolean": {"type": "boolean", "nullable": True},
    "integer": {"type": "integer"},
    "digit": {"type": "integer", "minimum": 0, "maximum": 9},
    "double": {"type": "double", "minimum": Decimal("-0.1"), "maximum": Decimal("0.7")},
    "decimal": {"type": "decimal(5,2)", "minimum": Decimal("-0.1"), "nullable": True},
    "fraction": {"type": "decimal(2,2)"},
    "whole": {"type": "decimal(3,0)"},
    "timestamp": {"type": "timestamp"},
}


def only(shape: str) -> Contract:
    field = Field(description="", **SHAPES[shape])
    return TRANSACTION.model_copy(update={"fields": {"x": field}})


@cache
def pair(shape: str) -> tuple[Validator, jsonschema_rs.Validator]:
    return Validator(only(shape)), compiled(only(shape))


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ("string", "abcd"),
        ("string", "a-"),
        ("string", "a\n"),
        ("string", None),
        ("enum", "c"),
        ("uuid", "8f14e45fceea467fa0e69d1c2b3a4d5e"),
        ("boolean", 1),
        ("integer", 2**63),
        ("integer", 1.5),
        ("digit", 10),
        ("double", 0.71),
        ("decimal", "1,000"),
        ("decimal", "1e3"),
        ("decimal", "1234"),
        ("decimal", -0.2),
        ("decimal", True),
        ("fraction", "1"),
        ("whole", "1.0"),
        ("timestamp", "2024-01-01T00:00:00"),
        ("timestamp", "2024-02-30T00:00:00Z"),
    ],
)
def test_schema_refuses(shape: str, value: object) -> None:
    assert not compiled(only(shape)).is_valid({"x": value})


def test_required_are_listed_and_undeclared_fields_allowed() -> None:
    assert json_schema(only("enum"))["required"] == []
    assert compiled(only("enum")).is_valid({"y": [1]})
    assert not compiled(only("boolean")).is_valid({})


numbers = (
    st.integers(-12, 12).map(str)
    | st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.decimals(-1000, 1000, places=3).map(str)
    | st.decimals(-1, 1, places=2).map(str)
)
words = (
    st.from_regex(r"\A[a-c-]{0,4}\Z")
    | st.uuids().map(str)
    | st.datetimes().map(lambda at: at.isoformat(timespec="milliseconds") + "Z")
    | st.decimals(-1000, 1000, places=2).map(str)
    | st.integers(-1000, 1000).map(str)
)
tokens = st.sampled_from(["null", "true", "{}"]) | numbers | words.map(json.dumps)


@pytest.mark.parametrize("shape", SHAPES)
@given(token=tokens)
@settings(max_examples=200)
def test_schema_takes_what_the_validator_takes(shape: str, token: str) -> None:
    text = f'{{"x":{token}}}'
    validator, schema = pair(shape)
    zeros = token.startswith('"') and shape in ("fraction", "whole")
    if validator.reject(text.encode()) is None and not zeros:
        assert schema.is_valid(json.loads(text))


@pytest.mark.parametrize(
    ("shape", "token"),
    [
        ("string", '"abc"'),
        ("enum", "null"),
        ("uuid", '"8F14E45F-ceea-467f-a0e6-9d1c2b3a4d5e"'),
        ("boolean", "false"),
        ("integer", "9223372036854775807"),
        ("integer", "1e2"),
        ("digit", "9.0"),
        ("double", "-0.1"),
        ("decimal", '"999.99"'),
        ("decimal", "-0.1"),
        ("fraction", '"-0.12"'),
        ("whole", "-999"),
        ("timestamp", '"2024-02-29T23:59:59.1-00:00"'),
    ],
)
def test_both_take(shape: str, token: str) -> None:
    text = f'{{"x":{token}}}'
    validator, schema = pair(shape)
    assert validator.reject(text.encode()) is None
    assert schema.is_valid(json.loads(text))
