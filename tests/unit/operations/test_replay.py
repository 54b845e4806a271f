"""When a quarantined record may be sent again, as far as no server has a say in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from watershed.contracts.model import Contract
from watershed.errors import ReplayError
from watershed.operations.replay import checked, header, unread
from watershed.stores.record_id import RecordId
from watershed.stores.replays import Replay
from watershed.stores.topics import TopicState

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
PLACE = RecordId("transaction", 0, 12)


def event(**changes: Any) -> bytes:
    fields = {
        "transaction_id": "8F14E45F-CEEA-467F-A0E6-9D1C2B3A4D5E",
        "event_time": NOON.isoformat(),
        "branch": "Kazan",
        "currency": "RUB",
        "amount": 1.25,
    }
    return json.dumps(fields | changes).encode()


def test_the_key_is_the_event_id_as_the_stores_write_it(transaction: Contract) -> None:
    found = checked(transaction, event(), NOON)
    assert found == (b"8f14e45f-ceea-467f-a0e6-9d1c2b3a4d5e", event())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null_value"),
        (b"", "not_json"),
        (event(branch="Atlantis"), "out_of_enum: branch"),
        (event(event_time=(NOON + timedelta(seconds=301)).isoformat()), "future_event_time"),
    ],
)
def test_an_invalid_event_is_refused_with_its_reason(
    value: bytes | None, reason: str, transaction: Contract
) -> None:
    with pytest.raises(ReplayError, match=reason) as refused:
        checked(transaction, value, NOON)
    assert "--value" in refused.value.remedy


def test_event_time_may_run_ahead_as_far_as_the_contract_says(transaction: Contract) -> None:
    ahead = NOON + timedelta(seconds=transaction.ahead_max_s)
    assert checked(transaction, event(event_time=ahead.isoformat()), NOON)


def test_the_header_names_the_place_with_its_topic_id() -> None:
    assert header("g-1", PLACE) == ("watershed-replay", b"transaction/g-1/0/12")


def tried(**looked_from: int) -> Replay:
    offsets = {int(name[1:]): offset for name, offset in looked_from.items()}
    return Replay("someone@here", NOON, offsets, "", None)


def test_looked_through_is_what_came_since_the_first_try() -> None:
    topic = TopicState("transaction", "g", {0: 3, 1: 0, 2: 0}, {0: 9, 1: 7, 2: 4})
    # Partition 2 is new since then: it is looked through from its first record on.
    assert unread(topic, PLACE, tried(p0=5, p1=7)) == {0: range(5, 9), 1: range(7, 7), 2: range(4)}


@pytest.mark.parametrize(("begin", "end"), [(6, 9), (0, 4)])
def test_refused_when_kafka_no_longer_has_what_must_be_looked_through(begin: int, end: int) -> None:
    topic = TopicState("transaction", "g", {0: begin}, {0: end})
    with pytest.raises(ReplayError, match=rf"from 5 on .* \[{begin}, {end}\)") as refused:
        unread(topic, PLACE, tried(p0=5))
    assert "./ws trace" in refused.value.remedy
