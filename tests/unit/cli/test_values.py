"""How commands print what comes from outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from watershed.cli.values import clock, for_json, from_bytes, safe
from watershed.stores.record_id import RecordId

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Tree:
    place: RecordId | None
    rest: Any


@given(st.text())
def test_a_terminal_gets_only_what_can_be_seen(text: str) -> None:
    assert safe(text).plain.isprintable()


def test_control_characters_and_markup_are_shown_not_obeyed() -> None:
    printed = StringIO()
    Console(file=printed, force_terminal=True).print(safe("[red]a\x1b[2J\u202eb\r\n[/]ж"))
    assert printed.getvalue() == "[red]a\\x1b[2J\\u202eb\\r\\n[/]ж\n"


def test_bytes_are_text_where_they_can_be() -> None:
    assert from_bytes("Казань".encode()).plain == "Казань"
    assert from_bytes(b"\xff\x1b").plain == "base64 /xs="
    assert from_bytes(None).plain == "none"


def test_a_time_is_in_utc() -> None:
    assert clock(datetime.fromisoformat("2026-01-31T15:00:00.0279+03:00")) == (
        "2026-01-31 12:00:00.027"
    )


def test_a_tree_becomes_json() -> None:
    place = RecordId("transaction", 0, 12)
    tree = Tree(place, [Tree(None, {1: Decimal("1.10")}), (NOON, b"\xff", b"a", True, 2)])
    assert for_json(tree) == {
        "place": "transaction/0/12",
        "rest": [
            {"place": None, "rest": {"1": "1.10"}},
            ["2026-01-31T12:00:00+00:00", {"base64": "/w=="}, "a", True, 2],
        ],
    }
    assert json.loads(json.dumps(for_json(tree))) == for_json(tree)
