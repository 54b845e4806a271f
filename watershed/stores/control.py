"""The stream's progress, as PostgreSQL has it: offsets, watermarks, heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.errors import ProgressError, StoreError
from watershed.stores.topics import TopicState


@dataclass(frozen=True)
class Progress:
    """One partition: records in ``[begin, next)`` are stored; complete before ``watermark``."""

    begin: int
    next: int
    watermark: datetime | None
    stored: int
    quarantined: int


def register(connection: Connection, contract: Contract) -> None:
    """Make a contract's row, or note its new version."""
    connection.cursor().execute(
        "INSERT INTO control.stream (type, contract_version) VALUES (%s, %s)"
        " ON CONFLICT (type) DO UPDATE SET contract_version = excluded.contract_version",
        [contract.type, contract.version],
    )


def beat(connection: Connection, event_type: str) -> None:
    """Say that the contract's query lives."""
    connection.cursor().execute(
        "UPDATE control.stream SET heartbeat_at = clock_timestamp() WHERE type = %s", [event_type]
    )
    connection.commit()


def heartbeats(connection: Connection) -> dict[str, datetime]:
    """When each contract's query last said that it lives."""
    cursor = connection.cursor()
    cursor.execute("SELECT type, heartbeat_at FROM control.stream WHERE heartbeat_at IS NOT NULL")
    return dict(cursor.fetchall())


def sequence(connection: Connection, event_type: str) -> int:
    """The number of the contract's last commit, 0 before the first."""
    cursor = connection.cursor()
    cursor.execute("SELECT sequence FROM control.stream WHERE type = %s", [event_type])
    return int(_only(cursor.fetchone(), event_type))


def generation(connection: Connection, event_type: str) -> str | None:
    """The topic id whose offsets are committed, None before the first start."""
    cursor = connection.cursor()
    cursor.execute("SELECT generation FROM control.stream WHERE type = %s", [event_type])
    found: str | None = _only(cursor.fetchone(), event_type)
    return found


def _only(row: tuple[Any, ...] | None, event_type: str) -> Any:
    if row is None:
        raise StoreError(f"no tables for {event_type} yet", "./ws up makes them from its contract")
    return row[0]


def progress(connection: Connection, event_type: str, generation: str) -> dict[int, Progress]:
    """Progress per Kafka partition, in this connection's transaction."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT kafka_partition, begin_offset, next_offset, watermark, stored, quarantined"
        " FROM control.stream_offset"
        " WHERE type = %s AND generation = %s ORDER BY kafka_partition",
        [event_type, generation],
    )
    return {partition: Progress(*rest) for partition, *rest in cursor.fetchall()}


def resume(connection: Connection, contract: Contract, topic: TopicState) -> dict[int, Progress]:
    """Where to read on, per partition of the topic; commits.

    A partition not seen before begins where Kafka has it now. Raises ProgressError where reading
    on would skip records, or where the topic is not the one that was committed.
    """
    _adopt(connection, contract, topic)
    cursor = connection.cursor()
    for partition, begin in topic.begin.items():
        cursor.execute(
            "INSERT INTO control.stream_offset"
            " (type, generation, kafka_partition, begin_offset, next_offset, indexed_from)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [contract.type, topic.generation, partition, begin, begin, begin],
        )
    connection.commit()
    found = progress(connection, contract.type, topic.generation)
    connection.rollback()
    for partition, state in found.items():
        _check(topic, partition, state)
    return found


def _adopt(connection: Connection, contract: Contract, topic: TopicState) -> None:
    connection.cursor().execute(
        "UPDATE control.stream SET generation = %s WHERE type = %s AND generation IS NULL",
        [topic.generation, contract.type],
    )
    known = generation(connection, contract.type)
    if known != topic.generation:
        connection.rollback()
        raise ProgressError(
            f"topic {topic.name} was re-created: its id is {topic.generation}, not {known}",
            "name another topic in the contract, or keep the old topic's data by restoring it",
        )


def _check(topic: TopicState, partition: int, state: Progress) -> None:
    begin, end = topic.begin[partition], topic.end[partition]
    if state.next < begin:
        raise ProgressError(
            f"{topic.name}/{partition}: records [{state.next}, {begin}) expired before they were"
            " stored",
            "raise the contract's topic.retention_hours; those records are gone from Kafka",
        )
    if state.next > end:
        raise ProgressError(
            f"{topic.name}/{partition}: committed up to {state.next}, but Kafka ends at {end}",
            "Kafka was restored from an older copy: restore PostgreSQL from the same moment",
        )
