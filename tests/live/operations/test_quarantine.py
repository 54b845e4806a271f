"""Operators look into the quarantine and send repaired records again, each of them once."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.oracle import Oracle
from tests.support.records import event, newest, run, send, tell
from tests.support.stack import Stack, wait_until
from watershed.contracts.model import Contract
from watershed.operations.replay import HEADER
from watershed.stores import postgres
from watershed.stores.record_id import RecordId


@pytest.fixture
def broken(stack: Stack, oracle: Oracle, verify) -> RecordId:  # type: ignore[no-untyped-def]
    """A record in quarantine."""
    place = send(stack, oracle, b"broken", event(amount=True), "invalid")
    verify()
    return place


def quarantine(stack: Stack, *arguments: str, value: bytes = b"") -> Any:
    """``./ws quarantine … --json``, which must end with 0."""
    done = run(stack, "quarantine", *arguments, "--json", value=value)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def copies(stack: Stack, oracle: Oracle, place: RecordId) -> list[str]:
    """Where the replays of a record are in Kafka; the oracle is told of them."""
    end = f"/{place.partition}/{place.offset}".encode()
    found = [
        record
        for record in newest(stack)
        if any(name == HEADER and text.endswith(end) for name, text in record.headers)
    ]
    for record in found:
        tell(oracle, record)
    return [str(RecordId(place.type, record.partition, record.offset)) for record in found]


def kill_at(stack: Stack, failpoint: str, place: RecordId, value: bytes) -> None:
    """Replay, killed at a failpoint."""
    (stack.settings.scratch_dir / "failpoint").write_text(failpoint)
    done = run(stack, "quarantine", "replay", str(place), "--value", "-", value=value)
    assert done.returncode == -9, done.stderr.decode()


def test_listed_newest_first_with_counts_by_reason(stack: Stack, oracle: Oracle, verify) -> None:
    before = quarantine(stack, "list")["counts"]
    values = [b"{", event(branch="[red]\x1b]0;owned\x07"), event(amount=12.345)]
    places = [str(send(stack, oracle, b"one", value, "invalid")) for value in values]
    verify()
    found = quarantine(stack, "list", "transaction", "--limit", "3")
    assert [one["record"] for one in found["records"]] == places[::-1]
    reasons = [one["rejected"]["reason"] for one in found["records"]]
    assert reasons == ["lossy_number", "out_of_enum", "not_json"]
    for reason in reasons:
        assert found["counts"][reason] == before.get(reason, 0) + 1
    [chosen] = quarantine(stack, "list", "--reason", "out_of_enum", "--limit", "1")["records"]
    assert chosen["record"] == places[1]
    printed = run(stack, "quarantine", "list").stdout.decode()
    assert "\x1b" not in printed
    assert places[0] in printed


def test_nothing_is_listed_of_a_time_when_nothing_arrived(stack: Stack, broken: RecordId) -> None:
    assert quarantine(stack, "list", "--since", "2999-01-01T00:00:00Z")["records"] == []
    done = run(stack, "quarantine", "list", "--since", "2999-01-01T00:00:00Z")
    assert (done.returncode, b"nothing" in done.stdout) == (0, True)


def test_shown_whole_with_its_bytes(stack: Stack, oracle: Oracle, verify) -> None:
    value = b'{"branch":"Kaz\xe1n"}\n'
    place = send(stack, oracle, b"\xff", value, "invalid")
    valid = send(stack, oracle, b"k", event(), "valid")
    verify()
    assert run(stack, "quarantine", "show", str(place), "--raw").stdout == value
    found = quarantine(stack, "show", str(place))["content"]
    assert found["rejected"]["reason"] == "not_utf8"
    assert (found["key"], found["value"]) == ({"base64": "/w=="}, {"base64": "eyJicmFuY2giOiJLYXrhbiJ9Cg=="})  # fmt: skip  # noqa: E501
    refused = run(stack, "quarantine", "show", str(valid))
    assert (refused.returncode, b"not in quarantine" in refused.stderr) == (1, True)


def test_replayed_once(stack: Stack, oracle: Oracle, broken: RecordId, verify) -> None:
    value = event()
    done = quarantine(stack, "replay", str(broken), "--value", "-", value=value)
    again = run(stack, "quarantine", "replay", str(broken), "--value", "-", value=value)
    assert copies(stack, oracle, broken) == [done["to"]]
    assert done["found"] is False
    assert again.returncode == 1
    assert done["to"] in again.stderr.decode()
    assert quarantine(stack, "show", str(broken))["replay"]["to"] == done["to"]
    [replayed] = [r for r in newest(stack) if r.value == value]
    assert replayed.key.decode() == json.loads(value)["transaction_id"]
    verify()


@pytest.mark.parametrize(
    ("failpoint", "found"), [("replay_before_send", False), ("replay_after_send", True)]
)
def test_killed_on_the_way_and_sent_once(
    failpoint: str, found: bool, stack: Stack, oracle: Oracle, broken: RecordId, verify
) -> None:
    value = event()
    kill_at(stack, failpoint, broken, value)
    begun = quarantine(stack, "show", str(broken))["replay"]
    done = quarantine(stack, "replay", str(broken), "--value", "-", value=value)
    again = run(stack, "quarantine", "replay", str(broken), "--value", "-", value=value)
    assert copies(stack, oracle, broken) == [done["to"]]
    assert (begun["to"], done["found"]) == (None, found)
    assert (again.returncode, done["to"] in again.stderr.decode()) == (1, True)
    verify()


def test_two_operators_at_once_send_once(
    stack: Stack, oracle: Oracle, broken: RecordId, verify
) -> None:
    def replay(_: int) -> subprocess.CompletedProcess[bytes]:
        return run(stack, "quarantine", "replay", str(broken), "--value", "-", value=event())

    with ThreadPoolExecutor(2) as pool:
        codes = sorted(done.returncode for done in pool.map(replay, range(2)))
    assert len(copies(stack, oracle, broken)) == 1
    assert codes == [0, 1]
    verify()


def test_an_invalid_repair_is_refused_and_leaves_nothing_behind(
    stack: Stack, oracle: Oracle, broken: RecordId, verify
) -> None:
    wrong = event(currency="XXX")
    as_it_was = run(stack, "quarantine", "replay", str(broken))
    repaired = run(stack, "quarantine", "replay", str(broken), "--value", "-", value=wrong)
    assert copies(stack, oracle, broken) == []
    assert (as_it_was.returncode, repaired.returncode) == (1, 1)
    assert b"mistyped_field: amount: true" in as_it_was.stderr
    assert b"out_of_enum: currency" in repaired.stderr
    assert quarantine(stack, "show", str(broken))["replay"] is None
    verify()


def test_a_range_is_replayed_as_far_as_the_contract_accepts_it_now(
    stack: Stack, oracle: Oracle, transaction: Contract, verify
) -> None:
    accepted_at = datetime.now(UTC) + timedelta(seconds=5)
    latest = accepted_at + timedelta(seconds=transaction.ahead_max_s)
    time = latest.isoformat(timespec="milliseconds")
    values = [event(event_time=time), event(amount=True), event(event_time=time)]
    places = [send(stack, oracle, b"one partition", value, "invalid") for value in values]
    verify()
    arguments = ["replay", str(places[0]), "--last", str(places[-1].offset), "--reason", "clock"]
    wait_until(lambda: datetime.now(UTC) > accepted_at, "the events are no longer too early")
    done = run(stack, "quarantine", *arguments, "--json")
    again = run(stack, "quarantine", *arguments, "--json")
    outcomes = json.loads(done.stdout)
    for place in places:
        copies(stack, oracle, place)
    assert (done.returncode, again.returncode) == (1, 1)
    assert [outcome["record"] for outcome in outcomes] == list(map(str, places))
    assert [bool(outcome["to"]) for outcome in outcomes] == [True, False, True]
    assert "mistyped_field" in outcomes[1]["why"]
    assert [load["to"] for load in json.loads(again.stdout)] == [
        outcome["to"] for outcome in outcomes
    ]
    with postgres.connect(stack.settings) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT count(*) FROM control.operator_log WHERE detail->>'reason' = 'clock'"
        )
        assert cursor.fetchone() == (2,)
    verify()


def test_a_range_without_a_quarantined_record_is_refused(stack: Stack, broken: RecordId) -> None:
    after = broken._replace(offset=broken.offset + 1)
    done = run(stack, "quarantine", "replay", str(after), "--last", str(after.offset + 10))
    assert (done.returncode, b"nothing is in quarantine" in done.stderr) == (1, True)
    both = run(stack, "quarantine", "replay", str(broken), "--last", "9", "--value", "-")
    assert (both.returncode, b"--last" in both.stderr) == (2, True)


def test_what_is_not_in_quarantine_is_not_replayed(stack: Stack, oracle: Oracle, verify) -> None:
    valid = send(stack, oracle, b"k", event(), "valid")
    verify()
    beyond = valid._replace(offset=valid.offset + 10**6)
    for place in (valid, beyond):
        done = run(stack, "quarantine", "replay", str(place), "--value", "-", value=event())
        assert done.returncode == 1, done.stdout
    with postgres.connect(stack.settings) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT count(*) FROM control.quarantine_replay WHERE kafka_offset IN %s"
            " AND kafka_partition = %s",
            [(valid.offset, beyond.offset), valid.partition],
        )
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    "command", [("quarantine", "list"), ("quarantine", "show", "transaction/0/0"), ("trace", "x")]
)
def test_without_a_stack_nothing_can_be_looked_up(command: tuple[str, ...], tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "watershed", *command, "--home", tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "./ws up" in done.stderr
