"""Which quarantined records went back to Kafka, and where to: ``control.quarantine_replay``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.errors import ReplayError
from watershed.stores.operator_log import log_operation
from watershed.stores.postgres import transaction
from watershed.stores.record_id import RecordId

COMMAND = "quarantine replay"
LOCK_TIMEOUT_S = 60
KEY = "type = %s AND topic_id = %s AND kafka_partition = %s AND kafka_offset = %s"


@dataclass(frozen=True)
class Replay:
    """One record's replay, begun by ``operator`` ``at`` that time (the database's clock).

    ``looked_from`` has where the topic ended then, per partition. ``to`` is the new record; None
    while nobody saw Kafka acknowledge it.
    """

    operator: str
    at: datetime
    looked_from: dict[int, int]
    value_sha256: str
    to: RecordId | None


def lock(connection: Connection, topic_id: str, record: RecordId) -> None:
    """Be the only one who replays a record, until this session ends.

    Waits for another; raises ReplayError when that takes too long.
    """
    name = f"{COMMAND} {topic_id} {record}"
    try:
        with transaction(connection) as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_TIMEOUT_S}s"])
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
    except LockNotAvailable:
        raise ReplayError(
            f"{record} is being replayed by somebody else for {LOCK_TIMEOUT_S} s",
            f"when that has ended, ./ws quarantine show {record} tells how",
        ) from None


def find(cursor: Cursor, topic_id: str, records: Iterable[RecordId]) -> dict[RecordId, Replay]:
    """The replays of these records, as far as there are any."""
    wanted = tuple((record.type, record.partition, record.offset) for record in records)
    if not wanted:
        return {}
    cursor.execute(
        "SELECT r.type, kafka_partition, kafka_offset, operator, at, looked_from, value_sha256,"
        " to_partition, to_offset FROM control.quarantine_replay AS r"
        " JOIN control.operator_log AS o ON o.id = r.operation"
        " WHERE topic_id = %s AND (r.type, kafka_partition, kafka_offset) IN %s",
        [topic_id, wanted],
    )
    return {
        RecordId(*key): Replay(operator, at, _offsets(begun), sha256, _to(key[0], *to))
        for *key, operator, at, begun, sha256, to_partition, to_offset in cursor.fetchall()
        for to in [(to_partition, to_offset)]
    }


def _offsets(looked_from: dict[str, int]) -> dict[int, int]:
    return {int(partition): offset for partition, offset in looked_from.items()}


def _to(event_type: str, partition: int | None, offset: int | None) -> RecordId | None:
    return None if partition is None or offset is None else RecordId(event_type, partition, offset)


def begin(
    cursor: Cursor,
    topic_id: str,
    record: RecordId,
    looked_from: dict[int, int],
    value_sha256: str,
    reason: str,
) -> None:
    """Note that a record is about to be sent, once more if an earlier try was not.

    ``looked_from`` stays that of the first try.
    """
    detail = {"record": str(record), "value_sha256": value_sha256, "reason": reason}
    operation = log_operation(cursor, COMMAND, record.type, detail)
    cursor.execute(
        "INSERT INTO control.quarantine_replay AS r (type, topic_id, kafka_partition,"
        " kafka_offset, operation, looked_from, value_sha256) VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (type, topic_id, kafka_partition, kafka_offset) DO UPDATE"
        " SET operation = excluded.operation, value_sha256 = excluded.value_sha256"
        " WHERE r.to_offset IS NULL",
        [record.type, topic_id, record.partition, record.offset, operation,
         json.dumps(looked_from), value_sha256],
    )  # fmt: skip


def end(cursor: Cursor, topic_id: str, record: RecordId, to: RecordId) -> None:
    """Note where Kafka put the record."""
    cursor.execute(
        f"UPDATE control.quarantine_replay SET to_partition = %s, to_offset = %s WHERE {KEY}",
        [to.partition, to.offset, record.type, topic_id, record.partition, record.offset],
    )


def age_s(cursor: Cursor, replay: Replay) -> float:
    """Seconds since a replay was begun, by the clock that dated it."""
    cursor.execute("SELECT extract(epoch FROM clock_timestamp() - %s)", [replay.at])
    return float(cursor.fetchone()[0])  # type: ignore[index]
