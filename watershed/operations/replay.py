"""``./ws quarantine replay``: a record goes through Kafka again, repaired, once and never twice.

The intent is committed in PostgreSQL before the record is sent, with where the topic ended then;
the record names its old one in a header. Whoever finds an intent without a new record looks for
that header from there on: found, it only notes the record; not found, it sends. A lock in
PostgreSQL keeps two operators apart. Kafka's own transactions would not do: their markers take
offsets, which the stream would miss.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.contracts.reasons import Reason
from watershed.contracts.validate import Rejection, Validator
from watershed.errors import ReplayError
from watershed.failpoint import failpoint
from watershed.settings import Settings
from watershed.speed import progress
from watershed.stores import cassandra, postgres, quarantine, records, replays
from watershed.stores.postgres import transaction
from watershed.stores.quarantine import QuarantinedRecord
from watershed.stores.record_id import RecordId
from watershed.stores.replays import Replay
from watershed.stores.topics import TopicState, topic_state

HEADER = "watershed-replay"
IN_FLIGHT_S = records.SENT_WITHIN_S + 1
"""So long after an intent, the record of a try that died is in Kafka or will never be."""

Wait = Callable[[float, str], None]
"""Waits so many seconds, having said why."""


@dataclass(frozen=True)
class Replayed:
    """Where a record is now. ``found``: an earlier try had sent it, with ``value_sha256``."""

    record: RecordId
    to: RecordId
    found: bool
    value_sha256: str


class Event(NamedTuple):
    """A valid event as a Kafka record: its id is the key."""

    key: bytes
    value: bytes


@dataclass(frozen=True)
class Replayer:
    """Replays one record; the lock is the connection's, and ends with it.

    ``reason`` is what the operator says it is for, noted in the log.
    """

    settings: Settings
    contract: Contract
    connection: Connection
    session: Session
    wait: Wait
    reason: str = ""

    def replay(self, record: RecordId, value: bytes | None) -> Replayed:
        """Send a record with ``value`` instead of its own, or as it is when that is None.

        Raises ReplayError when it must not be sent, KafkaError, OperationalError or another of
        UNAVAILABLE when it may have been: the next call finds out.
        """
        topic_id = self._topic_id(record)
        replays.lock(self.connection, topic_id, record)
        with transaction(self.connection) as cursor:
            earlier = replays.find(cursor, topic_id, [record]).get(record)
        if earlier and earlier.to:
            raise ReplayError(
                f"{record} was replayed already: {earlier.operator} sent it to {earlier.to}"
                f" on {earlier.at:%Y-%m-%d at %H:%M:%S} UTC",
                f"a record goes once; if it broke again, replay {earlier.to}",
            )
        topic = self._topic(topic_id)
        if earlier and (to := self._sent_earlier(topic, record, earlier)):
            return self._end(topic, record, to, earlier.value_sha256, found=True)
        return self._send(topic, record, value)

    def _topic_id(self, record: RecordId) -> str:
        """The topic id that the record is in. Raises ReplayError for one that is not committed."""
        with transaction(self.connection) as cursor:
            topic_id = progress.topic_id(cursor, record.type) or ""
            at = progress.read(cursor, record.type, topic_id).get(record.partition)
        if at is None or not at.begin <= record.offset < at.next:
            raise ReplayError(f"nothing is stored from {record}", "./ws quarantine list names some")
        return topic_id

    def _topic(self, topic_id: str) -> TopicState:
        topic = topic_state(self.settings, self.contract.topic.name)
        if topic.topic_id != topic_id:
            raise ReplayError(
                f"topic {topic.name} was re-created: its id is {topic.topic_id}, the stream's"
                f" {topic_id}",
                "let the stream go on first: ./ws status names the command",
            )
        return topic

    def _sent_earlier(
        self, topic: TopicState, record: RecordId, earlier: Replay
    ) -> RecordId | None:
        """Where an earlier try that did not end put the record, if it did."""
        with transaction(self.connection) as cursor:
            left_s = IN_FLIGHT_S - replays.age_s(cursor, earlier)
        if left_s > 0:
            self.wait(left_s, "an earlier try did not end, and its record may still be on its way")
            topic = self._topic(topic.topic_id)
        sought = unread(topic, record, earlier)
        found = records.find(self.settings, topic.name, sought, header(topic.topic_id, record))
        return RecordId(record.type, *found) if found else None

    def _send(self, topic: TopicState, record: RecordId, value: bytes | None) -> Replayed:
        content = self._content(topic.topic_id, record)
        event = checked(self.contract, content.value if value is None else value, datetime.now(UTC))
        digest = hashlib.sha256(event.value).hexdigest()
        with records.producer(self.settings) as producer:
            with transaction(self.connection) as cursor:
                replays.begin(cursor, topic.topic_id, record, topic.end, digest, self.reason)
            self._fail("replay_before_send")
            mark = header(topic.topic_id, record)
            at = records.send(producer, topic.name, event.key, event.value, mark)
            self._fail("replay_after_send")
        return self._end(topic, record, RecordId(record.type, *at), digest, found=False)

    def _content(self, topic_id: str, record: RecordId) -> QuarantinedRecord:
        content = quarantine.at(self.session, topic_id, record.partition, record.offset)
        if content is None:
            raise absent(record)
        return content

    def _end(
        self, topic: TopicState, record: RecordId, to: RecordId, digest: str, *, found: bool
    ) -> Replayed:
        with transaction(self.connection) as cursor:
            replays.end(cursor, topic.topic_id, record, to)
        return Replayed(record, to, found, digest)

    def _fail(self, name: str) -> None:
        failpoint(name, self.settings.scratch_dir)


def replay(
    settings: Settings,
    contract: Contract,
    record: RecordId,
    value: bytes | None,
    wait: Wait,
    reason: str = "",
) -> Replayed:
    """Connect and replay one record: :meth:`Replayer.replay`."""
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        replayer = Replayer(settings, contract, connection, session, wait, reason)
        return replayer.replay(record, value)


def absent(record: RecordId) -> ReplayError:
    """That the quarantine has no such record."""
    return ReplayError(
        f"{record} is not in quarantine: it was valid, or has outlived its TTL",
        "./ws quarantine list names those that are",
    )


def header(topic_id: str, record: RecordId) -> tuple[str, bytes]:
    """The record header that says which record this one repairs."""
    return HEADER, f"{record.type}/{topic_id}/{record.partition}/{record.offset}".encode()


def checked(contract: Contract, value: bytes | None, now: datetime) -> Event:
    """A value that is a valid event. Raises ReplayError with the reason when it is none."""
    rejection = Validator(contract).reject(value)
    if rejection is None:
        event = json.loads(sent := cast(bytes, value))
        rejection = _early(contract, event[contract.event_time], now)
    if rejection is not None:
        raise ReplayError(
            f"not a valid {contract.type}: {rejection.reason}: {rejection.detail}",
            "repair it in an editor and name the file: --value FILE",
        )
    event_id = str(event[contract.event_id])
    is_uuid = contract.fields[contract.event_id].kind == "uuid"
    return Event((str(UUID(event_id)) if is_uuid else event_id).encode(), sent)


def _early(contract: Contract, event_time: str, now: datetime) -> Rejection | None:
    """What the stream finds out by the Kafka time, which will be ``now``."""
    if datetime.fromisoformat(event_time) - now > timedelta(seconds=contract.ahead_max_s):
        return Rejection(Reason.FUTURE_EVENT_TIME, f"{contract.event_time}: {event_time}")
    return None


def unread(topic: TopicState, record: RecordId, earlier: Replay) -> dict[int, range]:
    """Where an earlier try may have put the record. Raises ReplayError if that is not known."""
    begun = {partition: earlier.looked_from.get(partition, 0) for partition in topic.end}
    for partition, start in begun.items():
        if not topic.begin[partition] <= start <= topic.end[partition]:
            raise ReplayError(
                f"{record} was perhaps sent on {earlier.at:%Y-%m-%d}, to {topic.name}/{partition}"
                f" from {start} on or elsewhere; Kafka now has"
                f" [{topic.begin[partition]}, {topic.end[partition]})",
                "./ws trace EVENT_ID tells whether it was stored: docs/operate.md, Quarantine, says"
                " how to note that",
            )
    return {partition: range(start, topic.end[partition]) for partition, start in begun.items()}
