"""Which quarantined records went back to Kafka, and where to: ``control.quarantine_replay``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection as Connection

from watershed.errors import ReplayError
from watershed.stores.operator_log import log_operation
from watershed.stores.record_id import Place

COMMAND = "quarantine replay"
LOCK_TIMEOUT_S = 60
KEY = "type = %s AND topic_id = %s AND kafka_partition = %s AND kafka_offset = %s"


@dataclass(frozen=True)
class Replay:
    """One record's replay, begun by ``operator`` ``at`` that time (the database's clock).

    ``looked_from`` has where the topic ended then, per partition. ``to`` is the new place; None
    while nobody saw Kafka acknowledge it.
    """

    operator: str
    at: datetime
    looked_from: dict[int, int]
    value_sha256: str
    to: Place | None


def lock(connection: Connection, topic_id: str, place: Place) -> None:
    """Be the only one who replays a place, until this session ends; commits.

    Waits for another; raises ReplayError when that takes too long.
    """
    cursor = connection.cursor()
    cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_TIMEOUT_S}s"])
    name = f"{COMMAND} {topic_id} {place}"
    try:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
    except LockNotAvailable:
        raise ReplayError(
            f"{place} is being replayed by somebody else for {LOCK_TIMEOUT_S} s",
            f"when that has ended, ./ws quarantine show {place} tells how",
        ) from None
    connection.commit()


def find(connection: Connection, topic_id: str, places: Iterable[Place]) -> dict[Place, Replay]:
    """The replays of these places, as far as there are any."""
    wanted = tuple((place.type, place.partition, place.offset) for place in places)
    if not wanted:
        return {}
    cursor = connection.cursor()
    cursor.execute(
        "SELECT r.type, kafka_partition, kafka_offset, operator, at, looked_from, value_sha256,"
        " to_partition, to_offset FROM control.quarantine_replay AS r"
        " JOIN control.operator_log AS o ON o.id = r.operation"
        " WHERE topic_id = %s AND (r.type, kafka_partition, kafka_offset) IN %s",
        [topic_id, wanted],
    )
    return {
        Place(*key): Replay(operator, at, _offsets(begun), sha256, _to(key[0], *to))
        for *key, operator, at, begun, sha256, to_partition, to_offset in cursor.fetchall()
        for to in [(to_partition, to_offset)]
    }


def _offsets(looked_from: dict[str, int]) -> dict[int, int]:
    return {int(partition): offset for partition, offset in looked_from.items()}


def _to(event_type: str, partition: int | None, offset: int | None) -> Place | None:
    return None if partition is None or offset is None else Place(event_type, partition, offset)


def begin(
    connection: Connection,
    topic_id: str,
    place: Place,
    looked_from: dict[int, int],
    value_sha256: str,
    reason: str,
) -> None:
    """Note, uncommitted, that a place is about to be sent, once more if an earlier try was not.

    ``looked_from`` stays that of the first try.
    """
    detail = {"place": str(place), "value_sha256": value_sha256, "reason": reason}
    operation = log_operation(connection, COMMAND, place.type, detail)
    connection.cursor().execute(
        "INSERT INTO control.quarantine_replay AS r (type, topic_id, kafka_partition,"
        " kafka_offset, operation, looked_from, value_sha256) VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (type, topic_id, kafka_partition, kafka_offset) DO UPDATE"
        " SET operation = excluded.operation, value_sha256 = excluded.value_sha256"
        " WHERE r.to_offset IS NULL",
        [place.type, topic_id, place.partition, place.offset, operation,
         json.dumps(looked_from), value_sha256],
    )  # fmt: skip


def end(connection: Connection, topic_id: str, place: Place, to: Place) -> None:
    """Note, uncommitted, where Kafka put the record."""
    connection.cursor().execute(
        f"UPDATE control.quarantine_replay SET to_partition = %s, to_offset = %s WHERE {KEY}",
        [to.partition, to.offset, place.type, topic_id, place.partition, place.offset],
    )


def age_s(connection: Connection, replay: Replay) -> float:
    """Seconds since a replay was begun, by the clock that dated it."""
    cursor = connection.cursor()
    cursor.execute("SELECT extract(epoch FROM clock_timestamp() - %s)", [replay.at])
    return float(cursor.fetchone()[0])  # type: ignore[index]
