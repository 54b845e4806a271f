"""The stream's progress, as PostgreSQL has it: offsets, watermarks, commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.errors import ProgressError, StoreError
from watershed.speed import lease
from watershed.stores.topics import TopicState


@dataclass(frozen=True)
class Progress:
    """One partition: records in ``[begin, next)`` are stored; complete before ``watermark``.

    What operators said: records before ``untimed_until`` have a wrong Kafka time, for which
    ``untimed_at`` stands; offsets before ``holes_until`` may have no record.
    """

    begin: int
    next: int
    watermark: datetime | None
    stored: int
    quarantined: int
    skipped: int = 0
    indexed_from: int = 0
    untimed_until: int | None = None
    untimed_at: datetime | None = None
    holes_until: int | None = None


COLUMNS = (
    "begin_offset, next_offset, watermark, stored, quarantined, skipped, indexed_from,"
    " untimed_until, untimed_at, holes_until"
)


def register(connection: Connection, contract: Contract) -> None:
    """Make a contract's row if there is none."""
    connection.cursor().execute(
        "INSERT INTO control.stream (type, contract_version) VALUES (%s, %s)"
        " ON CONFLICT (type) DO NOTHING",
        [contract.type, contract.version],
    )


def sequence(connection: Connection, event_type: str) -> int:
    """The number of the contract's last commit, 0 before the first."""
    return int(_stream_column(connection, event_type, "sequence"))


def next_sequence(connection: Connection, event_type: str) -> int:
    """Take the number of a commit that is not the stream's; keeps the stream from committing
    until this connection's transaction ends."""
    cursor = connection.cursor()
    cursor.execute(
        "UPDATE control.stream SET sequence = sequence + 1 WHERE type = %s RETURNING sequence",
        [event_type],
    )
    return int(cursor.fetchone()[0])  # type: ignore[index]


def topic_id(connection: Connection, event_type: str) -> str | None:
    """The topic id whose offsets are committed, None before the first start."""
    found: str | None = _stream_column(connection, event_type, "topic_id")
    return found


def _stream_column(connection: Connection, event_type: str, column: str) -> Any:
    cursor = connection.cursor()
    cursor.execute(f"SELECT {column} FROM control.stream WHERE type = %s", [event_type])
    row = cursor.fetchone()
    if row is None:
        raise StoreError(
            f"no tables for {event_type} yet",
            "./ws down, then ./ws up makes them",
        )
    return row[0]


def progress(connection: Connection, event_type: str, topic_id: str) -> dict[int, Progress]:
    """Progress per Kafka partition, in this connection's transaction."""
    everything = all_progress(connection, event_type)
    return {partition: one for (of, partition), one in everything.items() if of == topic_id}


def all_progress(connection: Connection, event_type: str) -> dict[tuple[str, int], Progress]:
    """Progress per topic id and Kafka partition: a re-created topic has another id."""
    cursor = connection.cursor()
    cursor.execute(
        f"SELECT topic_id, kafka_partition, {COLUMNS} FROM control.stream_offset"
        " WHERE type = %s ORDER BY topic_id, kafka_partition",
        [event_type],
    )
    return {(of, partition): Progress(*rest) for of, partition, *rest in cursor.fetchall()}


def watermark(progress: Mapping[int, Progress]) -> datetime | None:
    """The contract's watermark: every partition is complete before it; None if one has none."""
    found = [one.watermark for one in progress.values()]
    known = [time for time in found if time is not None]
    return min(known) if known and len(known) == len(found) else None


def complete_until(connection: Connection, event_type: str) -> datetime | None:
    """The contract's watermark, in this connection's transaction; None before there is one."""
    return watermark(progress(connection, event_type, topic_id(connection, event_type) or ""))


def resume(connection: Connection, contract: Contract, topic: TopicState) -> dict[int, Progress]:
    """Where to read on, per partition of the topic; commits.

    A contract begins where Kafka has its topic now; a partition that is added later begins at 0,
    and inherits the contract's watermark: what is in it arrives after what was promised to be
    complete. Raises ProgressError where reading on would skip records, or where the topic is not
    the one that was committed.
    """
    _adopt(connection, contract, topic)
    known = progress(connection, contract.type, topic.topic_id)
    for partition in topic.begin.keys() - known.keys():
        begin = 0 if known else topic.begin[partition]
        add_partition(connection, contract, topic.topic_id, partition, begin, watermark(known))
    connection.commit()
    found = progress(connection, contract.type, topic.topic_id)
    connection.rollback()
    for partition, state in found.items():
        _check(contract, topic, partition, state)
    return found


def add_partition(
    connection: Connection,
    contract: Contract,
    topic_id: str,
    partition: int,
    begin: int,
    inherited: datetime | None,
) -> None:
    """Begin a Kafka partition at ``begin``, in this connection's transaction."""
    connection.cursor().execute(
        "INSERT INTO control.stream_offset (type, topic_id, kafka_partition, begin_offset,"
        " next_offset, indexed_from, watermark) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [contract.type, topic_id, partition, begin, begin, begin, inherited],
    )


def advance_idle(
    connection: Connection,
    event_type: str,
    topic_id: str,
    epoch: int,
    ends: Mapping[int, int],
    until: datetime,
) -> None:
    """Move the watermark of partitions that end where they are committed to ``until``; commits.

    ``ends`` were read from Kafka after its clock showed ``until`` plus a margin. Only between two
    batches, or rows in flight would be stamped behind it. Raises OvertakenError.
    """
    with connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT FROM control.stream WHERE type = %s AND epoch = %s FOR UPDATE",
            [event_type, epoch],
        )
        if cursor.fetchone() is None:
            raise lease.lost(event_type, epoch)
        for partition, end in ends.items():
            cursor.execute(
                "UPDATE control.stream_offset SET watermark = %s WHERE type = %s"
                " AND topic_id = %s AND kafka_partition = %s AND next_offset = %s"
                " AND (watermark IS NULL OR watermark < %s)",
                [until, event_type, topic_id, partition, end, until],
            )


def _adopt(connection: Connection, contract: Contract, topic: TopicState) -> None:
    connection.cursor().execute(
        "UPDATE control.stream SET topic_id = %s WHERE type = %s AND topic_id IS NULL",
        [topic.topic_id, contract.type],
    )
    known = topic_id(connection, contract.type)
    if known != topic.topic_id:
        connection.rollback()
        raise recreated(contract, topic, known)


def recreated(contract: Contract, topic: TopicState, known: str | None) -> ProgressError:
    """The topic has another id than the one whose offsets are committed."""
    ends = ", ".join(f"{p}: [{topic.begin[p]}, {topic.end[p]})" for p in sorted(topic.end))
    return ProgressError(
        f"topic {topic.name} was re-created: its id is {topic.topic_id}, not {known}; it has"
        f" the records {ends}",
        f"./ws repair topic {contract.type} goes on with it from its beginning; what was stored"
        " of the old one stays",
    )


def _check(contract: Contract, topic: TopicState, partition: int, state: Progress) -> None:
    begin, end = topic.begin[partition], topic.end[partition]
    if state.next < begin:
        raise ProgressError(
            f"{topic.name}/{partition}: records [{state.next}, {begin}) expired in Kafka before"
            " they were committed",
            f"./ws rebuild flow {contract.type} takes them from the raw store, where PostgreSQL"
            f" was restored from an older copy; ./ws repair expired {contract.type} gives up what"
            " is nowhere",
        )
    if state.next > end:
        raise ProgressError(
            f"{topic.name}/{partition}: committed up to {state.next}, but Kafka ends at {end}:"
            " it was restored from an older copy",
            f"./ws repair topic {contract.type} makes the topic anew, since new records would take"
            " the place of stored ones in this one, and says what is lost with it",
        )
