"""The stream's progress: committed offsets and watermarks, ``control.stream_offset``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.contracts.model import Contract
from watershed.errors import OvertakenError, ProgressError, StoreError
from watershed.speed import lease
from watershed.speed.time_index import OffsetRange
from watershed.stores.postgres import transaction
from watershed.stores.record_id import TopicPartition
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
KEY = "type = %s AND topic_id = %s AND kafka_partition = %s"


def register(cursor: Cursor, contract: Contract) -> None:
    """Make a contract's row if there is none."""
    cursor.execute(
        "INSERT INTO control.stream (type, contract_version) VALUES (%s, %s)"
        " ON CONFLICT (type) DO NOTHING",
        [contract.type, contract.version],
    )


def sequence(cursor: Cursor, event_type: str) -> int:
    """The number of the contract's last commit, 0 before the first."""
    return int(_stream_column(cursor, event_type, "sequence"))


def next_sequence(cursor: Cursor, event_type: str) -> int:
    """Take the number of a commit that is not the stream's; keeps the stream from committing
    until the transaction ends."""
    cursor.execute(
        "UPDATE control.stream SET sequence = sequence + 1 WHERE type = %s RETURNING sequence",
        [event_type],
    )
    return int(cursor.fetchone()[0])  # type: ignore[index]


def topic_id(cursor: Cursor, event_type: str) -> str | None:
    """The topic id whose offsets are committed, None before the first start."""
    stored: str | None = _stream_column(cursor, event_type, "topic_id")
    return stored


def set_topic_id(cursor: Cursor, event_type: str, topic_id: str) -> None:
    """Let the offsets of this topic id be the committed ones from now on."""
    cursor.execute(
        "UPDATE control.stream SET topic_id = %s WHERE type = %s", [topic_id, event_type]
    )


def hold_commits(cursor: Cursor, event_type: str) -> None:
    """Keep the stream from committing until the transaction ends."""
    cursor.execute("SELECT FROM control.stream WHERE type = %s FOR UPDATE", [event_type])


def _stream_column(cursor: Cursor, event_type: str, column: str) -> Any:
    cursor.execute(f"SELECT {column} FROM control.stream WHERE type = %s", [event_type])
    row = cursor.fetchone()
    if row is None:
        raise StoreError(
            f"no tables for {event_type} yet",
            "./ws down, then ./ws up makes them",
        )
    return row[0]


def read(cursor: Cursor, event_type: str, topic_id: str) -> dict[int, Progress]:
    """Progress per Kafka partition of one topic id."""
    return {
        partition: state
        for (of, partition), state in read_all(cursor, event_type).items()
        if of == topic_id
    }


def read_current(cursor: Cursor, event_type: str) -> dict[int, Progress]:
    """Progress per Kafka partition of the topic whose offsets are committed; none before that."""
    return read(cursor, event_type, topic_id(cursor, event_type) or "")


def read_all(cursor: Cursor, event_type: str) -> dict[TopicPartition, Progress]:
    """Progress per topic id and Kafka partition: a re-created topic has another id."""
    cursor.execute(
        f"SELECT topic_id, kafka_partition, {COLUMNS} FROM control.stream_offset"
        " WHERE type = %s ORDER BY topic_id, kafka_partition",
        [event_type],
    )
    return {
        TopicPartition(topic_id, partition): Progress(*rest)
        for topic_id, partition, *rest in cursor.fetchall()
    }


def watermark(partitions: Mapping[int, Progress]) -> datetime | None:
    """The contract's watermark: every partition is complete before it; None if one has none."""
    watermarks = [state.watermark for state in partitions.values()]
    known = [time for time in watermarks if time is not None]
    return min(known) if known and len(known) == len(watermarks) else None


def complete_until(cursor: Cursor, event_type: str) -> datetime | None:
    """The contract's watermark; None before there is one."""
    return watermark(read_current(cursor, event_type))


def resume(connection: Connection, contract: Contract, topic: TopicState) -> dict[int, Progress]:
    """Where to read on, per partition of the topic.

    A contract begins where Kafka has its topic now; a partition that is added later begins at 0,
    and inherits the contract's watermark: what is in it arrives after what was promised to be
    complete. Raises ProgressError where reading on would skip records, or where the topic is not
    the one that was committed.
    """
    with transaction(connection) as cursor:
        _adopt(cursor, contract, topic)
        known = read(cursor, contract.type, topic.topic_id)
        for partition in topic.begin.keys() - known.keys():
            begin = 0 if known else topic.begin[partition]
            at = TopicPartition(topic.topic_id, partition)
            add_partition(cursor, contract, at, begin, watermark(known))
        partitions = read(cursor, contract.type, topic.topic_id)
    for partition, state in partitions.items():
        _check(contract, topic, partition, state)
    return partitions


def add_partition(
    cursor: Cursor,
    contract: Contract,
    partition: TopicPartition,
    begin: int,
    inherited: datetime | None,
) -> None:
    """Begin a Kafka partition at ``begin``, with the contract's watermark."""
    cursor.execute(
        "INSERT INTO control.stream_offset (type, topic_id, kafka_partition, begin_offset,"
        " next_offset, indexed_from, watermark) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [contract.type, *partition, begin, begin, begin, inherited],
    )


def advance(cursor: Cursor, contract: Contract, topic_id: str, offsets: OffsetRange) -> None:
    """Move one partition's offset by compare-and-set.

    Raises OvertakenError when another writer has these records committed, ProgressError when
    there is a hole before them.
    """
    key = [contract.type, topic_id, offsets.partition]
    cursor.execute(
        "UPDATE control.stream_offset SET next_offset = %s, watermark = greatest(watermark, %s),"
        " stored = stored + %s, quarantined = quarantined + %s, skipped = skipped + %s"
        f" WHERE {KEY} AND next_offset = %s",
        [offsets.to_offset, offsets.arrival_max, offsets.stored, offsets.quarantined,
         offsets.skipped, *key, offsets.from_offset],
    )  # fmt: skip
    if cursor.rowcount == 1:
        return
    cursor.execute(f"SELECT next_offset FROM control.stream_offset WHERE {KEY}", key)
    row = cursor.fetchone()
    raise _not_moved(contract, offsets, row[0] if row else None)


def _not_moved(
    contract: Contract, offsets: OffsetRange, committed: int | None
) -> OvertakenError | ProgressError:
    where = f"{contract.type}/{offsets.partition}"
    if committed is None:
        return OvertakenError(f"{where} is a new partition: starting again adopts it")
    if committed > offsets.from_offset:
        return OvertakenError(
            f"{where}: records from {offsets.from_offset} are committed up to {committed} already",
            "is a second stream running? it may go on; this one starts again",
        )
    return ProgressError(
        f"{where}: the batch begins at {offsets.from_offset}, committed is {committed}",
        "the stream starts again from there; if it ends here again, the offsets between have no"
        f" record, and ./ws repair holes {contract.type} skips them",
    )


def advance_idle(
    connection: Connection,
    event_type: str,
    topic_id: str,
    epoch: int,
    ends: Mapping[int, int],
    until: datetime,
) -> None:
    """Move the watermark of partitions that end where they are committed to ``until``.

    ``ends`` were read from Kafka after its clock showed ``until`` plus a margin. Only between two
    batches, or rows in flight would be stamped behind it. Raises OvertakenError.
    """
    with transaction(connection) as cursor:
        lease.check_held(cursor, event_type, epoch)
        for partition, end in ends.items():
            cursor.execute(
                f"UPDATE control.stream_offset SET watermark = %s WHERE {KEY} AND next_offset = %s"
                " AND (watermark IS NULL OR watermark < %s)",
                [until, event_type, topic_id, partition, end, until],
            )


def raise_watermarks(cursor: Cursor, event_type: str, topic_id: str, least: datetime) -> None:
    """Let nothing of a topic id arrive before a time."""
    cursor.execute(
        "UPDATE control.stream_offset SET watermark = greatest(watermark, %s)"
        " WHERE type = %s AND topic_id = %s",
        [least, event_type, topic_id],
    )


def skip(cursor: Cursor, event_type: str, partition: TopicPartition, offsets: range) -> bool:
    """Move a partition's offset over records that an operator gives up; whether it was there."""
    cursor.execute(
        "UPDATE control.stream_offset SET next_offset = %s, skipped = skipped + %s"
        f" WHERE {KEY} AND next_offset = %s",
        [offsets.stop, len(offsets), event_type, *partition, offsets.start],
    )
    return cursor.rowcount == 1


def ignore_times(cursor: Cursor, event_type: str, partition: TopicPartition, until: int) -> None:
    """Note that records before ``until`` have a wrong Kafka time, for which the present stands."""
    cursor.execute(
        f"UPDATE control.stream_offset SET untimed_until = %s, untimed_at = now() WHERE {KEY}",
        [until, event_type, *partition],
    )


def allow_holes(cursor: Cursor, event_type: str, partition: TopicPartition, until: int) -> None:
    """Note that offsets before ``until`` may have no record."""
    cursor.execute(
        f"UPDATE control.stream_offset SET holes_until = %s WHERE {KEY}",
        [until, event_type, *partition],
    )


def set_indexed_from(
    cursor: Cursor, event_type: str, partition: TopicPartition, first: int
) -> None:
    """Note with which offset of a partition the time index begins."""
    cursor.execute(
        f"UPDATE control.stream_offset SET indexed_from = %s WHERE {KEY}",
        [first, event_type, *partition],
    )


def _adopt(cursor: Cursor, contract: Contract, topic: TopicState) -> None:
    """Take the topic as the contract's, if it has none yet. Raises ProgressError."""
    known = topic_id(cursor, contract.type)
    if known is None:
        set_topic_id(cursor, contract.type, topic.topic_id)
    elif known != topic.topic_id:
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
