"""The transaction generator, its command line, and the pacing all producers share; no server."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from producers import transactions as source
from watershed.producer.ack_log import AckLog, Record
from watershed.producer.run import due_times

NOON = datetime(2026, 1, 2, 12, 0, 0, 5_999, tzinfo=UTC)


def take(count: int, seed: int = 7, duplicates: float = 0.0, invalid: float = 0.0) -> list[Record]:
    return list(islice(source.transactions(seed, lambda: NOON, duplicates, invalid), count))


def is_valid(value: bytes) -> bool:
    """The contract's rules, written a second time."""
    try:
        event = json.loads(value, parse_float=Decimal)
        return (
            set(event) == {"transaction_id", "event_time", "branch", "currency", "amount"}
            and UUID(event["transaction_id"]).version == 4
            and event["event_time"] == "2026-01-02T12:00:00.005Z"
            and event["branch"] in source.BRANCHES
            and event["currency"] in source.CURRENCIES
            and isinstance(event["amount"], Decimal)
            and -100 <= event["amount"] <= 100
        )
    except (ValueError, AttributeError):
        return False


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert take(500, seed=3, duplicates=0.1, invalid=0.1) == take(
        500, seed=3, duplicates=0.1, invalid=0.1
    )
    assert take(5, seed=3) != take(5, seed=4)


def test_an_event_is_valid_and_keyed_by_its_id() -> None:
    records = take(2_000)
    assert all(is_valid(record.value) for record in records)
    assert all(json.loads(r.value)["transaction_id"].encode() == r.key for r in records)
    assert len({record.key for record in records}) == len(records)
    events = [json.loads(record.value) for record in records]
    assert {event["branch"] for event in events} == set(source.BRANCHES)
    assert {event["currency"] for event in events} == set(source.CURRENCIES)


def test_the_clock_is_asked_once_per_new_event() -> None:
    moments = iter(NOON + timedelta(seconds=n) for n in range(3))
    records = islice(source.transactions(1, lambda: next(moments)), 3)
    times = [json.loads(record.value)["event_time"] for record in records]
    assert times == [f"2026-01-02T12:00:0{n}.005Z" for n in range(3)]


def test_a_moment_of_another_zone_is_written_in_utc() -> None:
    assert source.rfc3339(NOON.astimezone(timezone(timedelta(hours=3)))) == source.rfc3339(NOON)


@given(st.integers(-(10**20), 10**20))
def test_money_is_exact_and_a_json_number(hundredths: int) -> None:
    text = source.money(hundredths)
    assert Decimal(text) * 100 == hundredths
    assert text.lstrip("-").replace(".", "") == f"{abs(hundredths):03d}"
    assert json.loads(text, parse_float=str) == text


def test_kinds_come_in_their_shares() -> None:
    kinds = Counter(record.kind for record in take(10_000, duplicates=0.2, invalid=0.1))
    assert kinds["duplicate"] / 10_000 == pytest.approx(0.2, abs=0.02)
    assert kinds["invalid"] / 10_000 == pytest.approx(0.1, abs=0.02)
    assert take(1, duplicates=1.0)[0].kind == "valid"
    assert {record.kind for record in take(50, invalid=1.0)} == {"invalid"}


def test_a_duplicate_repeats_a_late_valid_event() -> None:
    seen: list[tuple[bytes, bytes]] = []
    for record in take(3_000, duplicates=0.3, invalid=0.1):
        if record.kind == "duplicate":
            assert (record.key, record.value) in seen[-source.REPEATABLE :]
        elif record.kind == "valid":
            seen.append((record.key, record.value))


@pytest.mark.parametrize("breakage", source.BREAKAGES)
@given(seed=st.integers(0, 2**32))
def test_what_is_broken_is_broken(breakage: source.Breakage, seed: int) -> None:
    rng = random.Random(seed)
    assert not is_valid(breakage(rng, source.new_fields(rng, NOON)))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rate", "-1"],
        ["--rate", "nan"],
        ["--rate", "inf"],
        ["--count", "-1"],
        ["--count", "1.5"],
        ["--seed", "x"],
        ["--duplicates", "1.1"],
        ["--invalid", "-0.1"],
        ["--invalid", "nan"],
        ["--duplicates", "0.6", "--invalid", "0.6"],
        ["--broker", "localhost"],
        ["--broker", "localhost:99999"],
        ["--broker", "a:1,,b:2"],
        ["--topic", "no spaces"],
        ["--ack-log", "/no/such/folder/acks.jsonl"],
        ["--nonsense"],
    ],
)
def test_misuse_exits_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(source.app, arguments).exit_code == 2


def test_help_names_every_option() -> None:
    # Wide, so that no option's name is broken over two lines.
    result = CliRunner().invoke(source.app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exit_code == 0
    for option in ("broker", "topic", "rate", "count", "seed", "ack-log", "duplicates", "invalid"):
        assert f"--{option}" in result.output


def test_the_schedule_does_not_drift() -> None:
    due = list(due_times(5.0, 3.0, 301))
    assert due[300] == 105.0
    assert all(early < late for early, late in pairwise(due))
    assert list(due_times(5.0, 0.0, 3)) == [5.0] * 3
    assert len(list(islice(due_times(0.0, 1.0, 0), 10_000))) == 10_000


def test_the_ack_log_keeps_bytes_and_starts_on_a_new_line(tmp_path: Path) -> None:
    path = tmp_path / "acks.jsonl"
    path.write_bytes(b'{"cut off')
    AckLog(path).write(Record(b"k", b"\xff", "invalid"), 2, 11, 1_700)
    AckLog(path).write(Record(b"k", "é".encode()), 0, 12, 1_701)
    lines = path.read_text().splitlines()
    assert lines[0] == '{"cut off'
    assert [json.loads(line) for line in lines[1:]] == [
        {"partition": 2, "offset": 11, "timestamp": 1700, "kind": "invalid", "key": "k"}
        | {"value_base64": "/w=="},
        {"partition": 0, "offset": 12, "timestamp": 1701, "kind": "valid", "key": "k"}
        | {"value": "é"},
    ]
