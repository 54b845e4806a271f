"""The coercion table of docs/contracts.md, row by row, and the transaction's example files."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cases import raw
from watershed.contracts.load import load_contract
from watershed.contracts.model import Contract, Field
from watershed.contracts.reasons import Reason
from watershed.contracts.validate import EXCERPT_LENGTH, MAX_EVENT_BYTES, Rejection, Validator

FOLDER = Path(__file__).parents[3] / "schemas" / "transaction"
TRANSACTION = load_contract(FOLDER / "contract.yaml")
VALIDATOR = Validator(TRANSACTION)
REJECTED = sorted((FOLDER / "rejected").glob("*.json"))


def of(**declaration: Any) -> Contract:
    """A contract whose one field, ``x``, is declared so."""
    field = Field(description="", **declaration)
    return TRANSACTION.model_copy(update={"fields": {"x": field}})


def reason(contract: Contract, text: str) -> str | None:
    rejection = Validator(contract).reject(text.encode())
    return None if rejection is None else rejection.reason


@pytest.mark.parametrize("path", sorted((FOLDER / "examples").glob("*.json")), ids=lambda p: p.stem)
def test_example_is_valid(path: Path) -> None:
    assert VALIDATOR.reject(path.read_bytes()) is None


@pytest.mark.parametrize("path", REJECTED, ids=lambda p: p.stem)
def test_rejected_example_gives_its_reason(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    rejection = VALIDATOR.reject(raw(case))
    assert rejection is not None
    assert rejection.reason == case["reason"]
    assert len(rejection.detail.partition(": ")[2]) <= EXCERPT_LENGTH


def test_every_reason_has_an_example() -> None:
    shown = {json.loads(path.read_text(encoding="utf-8"))["reason"] for path in REJECTED}
    needs_more = {Reason.FUTURE_EVENT_TIME, Reason.PATTERN_MISMATCH}  # kafka time; a pattern
    assert shown == set(Reason) - needs_more


WELL_FORMED = {
    "string": ['""', '"1"', '"\\ud83d\\ude00"', '"\\\\ud800"'],
    "uuid": ['"8f14e45f-ceea-467f-a0e6-9d1c2b3a4d5e"', '"8F14E45F-CEEA-467F-A0E6-9D1C2B3A4D5E"'],
    "boolean": ["true", "false"],
    "integer": ["7", "-0", "7.0", "1e2", "1.5E1", "9223372036854775807", "-9223372036854775808"],
    "double": ["7", "0.1", "-1e308", "1e-999", "0.10000000000000000000000000000001"],
    "decimal(4,2)": ["1", "-12.34", "12.340", "1e1", "0e99", "1234e-2", '"12.34"', '"12.3400"'],
    "decimal(2,2)": ["0.12", '"-0.12"', "0"],
    "timestamp": [
        '"2024-02-29T23:59:59Z"',
        '"2024-01-01T00:00:00.1-00:00"',
        '"0001-01-01T00:00:00.123Z"',
        '"2024-01-01T00:00:00+18:00"',
    ],
}


@pytest.mark.parametrize(
    ("type_", "token"), [(kind, token) for kind, tokens in WELL_FORMED.items() for token in tokens]
)
def test_token_is_accepted(type_: str, token: str) -> None:
    assert reason(of(type=type_), f'{{"x":{token}}}') is None


MALFORMED = {
    ("string", "mistyped_field"): ["1", "true", "{}", "[]"],
    ("uuid", "mistyped_field"): ['"8f14e45fceea467fa0e69d1c2b3a4d5e"', '""', "1", '"{8f14e45f}"'],
    ("boolean", "mistyped_field"): ['"true"', "0", "[]"],
    ("integer", "mistyped_field"): ['"7"', "true", "{}"],
    ("integer", "lossy_number"): ["7.5", "9223372036854775808", "1e19", "1e-1", "0e0001"],
    ("double", "mistyped_field"): ['"7"', "false", '"NaN"'],
    ("double", "lossy_number"): ["1e309", "-1e309", "1e1000", "1e99999999999999999999"],
    ("decimal(4,2)", "mistyped_field"): [
        *("true", "[]", '"1,000"', '"1e3"', '"+1"', '"01"', '".5"', '"5."', '" 1"', '"1\\n"', '""'),
        '"\u0661"',
    ],
    ("decimal(4,2)", "lossy_number"): [
        *("100", "12.345", '"12.345"', "1e2", "1e-3", "1e999999999", '"100.00"', "0.0001"),
        "9" * 5000,
    ],
    ("decimal(2,2)", "lossy_number"): ["1", '"1.0"', "0.123"],
    ("timestamp", "mistyped_field"): ["1709208000", "true", "{}"],
    ("timestamp", "unparsable_time"): [
        '"2024-02-30T00:00:00Z"',
        '"2024-01-01T24:00:00Z"',
        '"2024-01-01T00:00:60Z"',
        '"2024-01-01T00:00:00"',
        '"2024-01-01 00:00:00Z"',
        '"2024-01-01T00:00:00z"',
        '"2024-01-01T00:00:00.1234Z"',
        '"2024-01-01T00:00:00+18:01"',
        '"0000-01-01T00:00:00Z"',
        '"0001-01-01T00:00:00+01:00"',
        '"9999-12-31T23:59:59-01:00"',
        '"2024-01-01T00:00:00Z\\n"',
        '"\u0662024-01-01T00:00:00Z"',
        '"now"',
    ],
}


@pytest.mark.parametrize(
    ("type_", "expected", "token"), [(*key, token) for key in MALFORMED for token in MALFORMED[key]]
)
def test_token_is_rejected(type_: str, expected: str, token: str) -> None:
    assert reason(of(type=type_), f'{{"x":{token}}}') == expected


@pytest.mark.parametrize(
    ("declaration", "token", "expected"),
    [
        ({"type": "string", "enum": ("a", "b")}, '"b"', None),
        ({"type": "string", "enum": ("a", "b")}, '"B"', "out_of_enum"),
        ({"type": "string", "max_length": 2}, '"\\ud83d\\ude00\\ud83d\\ude00"', None),
        ({"type": "string", "max_length": 2}, '"abc"', "out_of_range"),
        ({"type": "string", "pattern": "a+|b"}, '"aa"', None),
        ({"type": "string", "pattern": "a+|b"}, '"aab"', "pattern_mismatch"),
        ({"type": "string", "pattern": r"\d"}, '"\u0661"', "pattern_mismatch"),
        ({"type": "string", "pattern": "a"}, '"a\\n"', "pattern_mismatch"),
        ({"type": "integer", "minimum": 0}, "0", None),
        ({"type": "integer", "minimum": 0}, "-1", "out_of_range"),
        ({"type": "decimal(4,2)", "maximum": Decimal("0.1")}, "0.10", None),
        ({"type": "decimal(4,2)", "maximum": Decimal("0.1")}, '"0.11"', "out_of_range"),
        ({"type": "double", "minimum": Decimal("0.1")}, "0.1", None),
        ({"type": "double", "minimum": Decimal("0.1")}, "0.09", "out_of_range"),
        ({"type": "double", "required": False}, "null", "missing_field"),
        ({"type": "double", "nullable": True}, "null", None),
        ({"type": "string", "nullable": True, "enum": ("a",)}, "null", None),
    ],
)
def test_limits(declaration: dict[str, Any], token: str, expected: str | None) -> None:
    assert reason(of(**declaration), f'{{"x":{token}}}') == expected


@pytest.mark.parametrize(
    ("required", "nullable", "expected"),
    [(True, False, "missing_field"), (True, True, "missing_field"), (False, False, None)],
)
def test_absent_field(required: bool, nullable: bool, expected: str | None) -> None:
    assert reason(of(type="double", required=required, nullable=nullable), "{}") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 100_000, "not_json"),
        ('{"x":1,"y":Infinity}', "not_json"),
        ('{"x":1,"y":"\t"}', "not_json"),
        ('{"x":1,"y":01}', "not_json"),
        ('{"x":1,"y":"\\udc00\\ud800"}', "not_json"),
        ('"\\ud800"', "not_json"),
        ('{"x":1,"\\u0078":2}', "duplicate_key"),
        ('{"x":1,"y":{"z":1,"z":2}}', None),
        ('{"x":1,"y":1e99999999999999999999}', None),
        (' \n{"x":1}\t', None),
    ],
)
def test_whole_record(text: str, expected: str | None) -> None:
    assert reason(of(type="integer"), text) == expected


def test_first_reason_in_the_order_of_the_contract_wins() -> None:
    event = b'{"transaction_id":"8f14e45f-ceea-467f-a0e6-9d1c2b3a4d5e","event_time":1,"branch":"?"}'
    assert VALIDATOR.reject(event) == Rejection(Reason.MISTYPED_FIELD, "event_time: 1")


def test_largest_event_is_accepted() -> None:
    assert Validator(of(type="integer")).reject(b'{"x":1}'.ljust(MAX_EVENT_BYTES)) is None


def test_detail_shows_a_short_excerpt() -> None:
    rejection = Validator(of(type="uuid")).reject(b'{"x":"%s"}' % (b"a" * 1000))
    assert rejection == Rejection(Reason.MISTYPED_FIELD, 'x: "' + "a" * 79)


money = st.decimals(-100, 100, places=2).map(lambda amount: f"{amount:f}")
offsets = st.integers(-18 * 60, 18 * 60).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets).map(
    lambda at: at.isoformat(timespec="milliseconds")
)
events = st.fixed_dictionaries(
    {
        "transaction_id": st.uuids().map(str),
        "event_time": moments,
        "branch": st.sampled_from(TRANSACTION.fields["branch"].enum or ()),
        "currency": st.sampled_from(TRANSACTION.fields["currency"].enum or ()),
        "amount": money | money.map(float),
    }
)


@given(events)
def test_generated_event_is_accepted(event: dict[str, Any]) -> None:
    assert str(UUID(event["transaction_id"])) == event["transaction_id"]
    assert VALIDATOR.reject(json.dumps(event).encode()) is None


@given(st.binary() | st.text().map(str.encode) | st.text('{}[]",:\\u0d8c1e.-').map(str.encode))
def test_any_bytes_are_judged(value: bytes) -> None:
    rejection = VALIDATOR.reject(value)
    assert rejection is not None
    rejection.detail.encode()
