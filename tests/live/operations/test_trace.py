"""One event followed through every store."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from tests.support.oracle import Oracle
from tests.support.postgres import read
from tests.support.records import event, run, send
from tests.support.stack import Stack
from watershed.speed import progress
from watershed.stores import postgres


def trace(stack: Stack, *arguments: str) -> Any:
    """``./ws trace … --json`` of an event that must be found."""
    done = run(stack, "trace", *arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_critical_event_is_found_in_every_store(stack: Stack, oracle: Oracle, verify) -> None:
    event_id = str(uuid4())
    value = event(transaction_id=event_id, amount=-99.5, currency="GBP", branch="Surgut")
    place = send(stack, oracle, event_id.encode(), value, "valid")
    verify()
    [found] = trace(stack, event_id.upper())["occurrences"]
    with postgres.connect(stack.settings) as connection:
        committed = read(connection, progress.sequence, "transaction")
    assert (found["record"], found["in_kafka"]) == (str(place), True)
    assert found["kafka_time"] <= found["arrival_time"] <= found["commit"]["committed_at"]
    assert found["commit"]["sequence"] <= committed
    stored = found["stored"]
    assert stored["written_at"] == found["arrival_time"]
    assert stored["fields"]["amount"] == "-99.50"
    assert stored["counted_in"]["groups"] == ["Surgut", "GBP"]
    assert stored["counted_in"]["value"] == "-99.50"
    assert stored["critical"]["cached"] == {"listed": True, "sequence": committed}
    printed = run(stack, "trace", event_id).stdout.decode()
    for text in (str(place), "Kafka has it", "-99.50", "in the list"):
        assert text in printed


def test_a_repeated_event_is_found_as_often_as_it_came(stack: Stack, oracle, verify) -> None:
    event_id = str(uuid4())
    value = event(transaction_id=event_id, amount=1)
    places = [str(send(stack, oracle, event_id.encode(), value, "valid")) for _ in range(2)]
    verify()
    found = trace(stack, event_id, "--type", "transaction")["occurrences"]
    assert [one["record"] for one in found] == places
    assert [one["stored"]["critical"] for one in found] == [None, None]


def test_a_rejected_event_is_found_by_its_kafka_key(stack: Stack, oracle: Oracle, verify) -> None:
    place = send(stack, oracle, b"not-even-an-id", event(amount="much"), "invalid")
    verify()
    [found] = trace(stack, "not-even-an-id")["occurrences"]
    assert (found["record"], found["stored"]) == (str(place), None)
    assert found["rejected"]["reason"] == "mistyped_field"
    assert b"mistyped_field: amount" in run(stack, "trace", "not-even-an-id").stdout


def test_what_is_not_there_is_not_found(stack: Stack, oracle: Oracle, verify) -> None:
    send(stack, oracle, b"k", event(), "valid")
    verify()
    done = run(stack, "trace", str(uuid4()))
    assert done.returncode == 1
    assert b"arrived from" in done.stdout
    assert b"--since" in done.stdout
    later = run(stack, "trace", str(uuid4()), "--since", "2999-01-01T00:00:00Z")
    assert (later.returncode, b"nothing arrived" in later.stdout) == (1, True)
