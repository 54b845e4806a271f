"""What an operator decides when the stream refuses to go on; each decision is logged.

Nothing here touches a stored event. The stream looks again every few seconds, and goes on by
itself once its refusal no longer holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.errors import ProgressError, StoreError
from watershed.operations.audit.snapshot import PartitionKey
from watershed.provision.topics import recreate_topic
from watershed.settings import Settings
from watershed.speed import progress, time_index
from watershed.speed.progress import Progress
from watershed.speed.time_index import OffsetRange
from watershed.stores import cassandra, postgres, quarantine, raw, topics
from watershed.stores.operator_log import log_operation
from watershed.stores.topics import TopicState

REMAKES = "deletes the topic, makes it anew, and loses of it what is not stored"


@dataclass(frozen=True)
class Repair:
    """What a repair will do, and has done once it is applied: ranges by Kafka partition."""

    command: str
    does: str
    ranges: dict[int, tuple[int, int]]

    @property
    def records(self) -> int:
        """How many records the ranges have."""
        return sum(end - begin for begin, end in self.ranges.values())


def expired(settings: Settings, contract: Contract) -> Repair:
    """Give up the records that Kafka no longer has and the raw store never got: what it would do.

    Raises StoreError when there is nothing to give up, ProgressError when the raw store has them.
    """
    topic = topics.topic_state(settings, contract.topic.name)
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        found = progress.progress(connection, contract.type, topic.topic_id)
        ranges = {
            partition: (state.next, _first_stored(settings, session, contract, topic, at))
            for partition, state in found.items()
            if (at := (partition, state.next, topic.begin[partition]))[1] < at[2]
        }
    if not ranges:
        raise _nothing(contract, "no record has expired before it was committed")
    return Repair(f"repair expired {contract.type}", "gives up", ranges)


def _first_stored(
    settings: Settings,
    session: Session,
    contract: Contract,
    topic: TopicState,
    at: tuple[int, int, int],
) -> int:
    """The first offset from ``at`` on that a store has: the range given up ends there."""
    partition, begin, end = at
    place = topic.topic_id, partition, range(begin, end)
    keyspace = settings.cassandra_keyspace
    for table in (raw.table(contract).name, quarantine.table().name):
        rows = raw.rows(session, f"{keyspace}.{table}", ("kafka_offset",), *place)
        end = min(end, next((row.kafka_offset for row in rows), end))
    if end == begin:
        raise ProgressError(
            f"{topic.name}/{partition}: the raw store has the records from {begin} on",
            f"./ws rebuild flow {contract.type} takes them from there; nothing need be given up",
        )
    return end


def give_up(settings: Settings, contract: Contract, repair: Repair) -> None:
    """Move the committed offsets over what :func:`expired` found, and log who did it."""
    topic_id = topics.topic_state(settings, contract.topic.name).topic_id
    with postgres.connect(settings) as connection, connection:
        sequence = progress.next_sequence(connection, contract.type)
        found = progress.progress(connection, contract.type, topic_id)
        for partition, (begin, end) in repair.ranges.items():
            _skip(connection, contract, (topic_id, partition), begin, end)
            at = found[partition].watermark or datetime.now(UTC)
            skipped = OffsetRange(partition, begin, end, at, at, 0, 0, end - begin)
            time_index.index(connection, contract, topic_id, skipped, sequence)
        _log(connection, contract, repair, topic_id)


def _skip(
    connection: Connection, contract: Contract, place: PartitionKey, begin: int, end: int
) -> None:
    cursor = connection.cursor()
    cursor.execute(
        "UPDATE control.stream_offset SET next_offset = %s, skipped = skipped + %s"
        " WHERE type = %s AND topic_id = %s AND kafka_partition = %s AND next_offset = %s",
        [end, end - begin, contract.type, *place, begin],
    )
    if cursor.rowcount != 1:
        raise ProgressError(
            f"{contract.topic.name}/{place[1]} has gone on meanwhile: nothing was given up",
            f"look at ./ws status; ./ws repair expired {contract.type} if it refuses again",
        )


def new_topic(settings: Settings, contract: Contract) -> Repair:
    """Go on with a re-created topic from its beginning: what it would do.

    A topic that ends before what is committed, as after a restore of Kafka, is deleted and made
    anew: what is in it and not stored is lost. Raises StoreError when the topic is as committed.
    """
    topic = topics.topic_state(settings, contract.topic.name)
    command = f"repair topic {contract.type}"
    with postgres.connect(settings) as connection:
        topic_id = progress.topic_id(connection, contract.type)
        found = progress.progress(connection, contract.type, topic.topic_id)
    if topic_id not in (None, topic.topic_id):
        return Repair(command, "reads", {p: (topic.begin[p], topic.end[p]) for p in topic.begin})
    if all(state.next <= topic.end[p] for p, state in found.items()):
        raise _nothing(contract, f"topic {topic.name} is the one whose offsets are committed")
    lost = {p: (s.next, topic.end[p]) for p, s in found.items() if s.next < topic.end[p]}
    return Repair(command, REMAKES, lost)


def adopt_topic(settings: Settings, contract: Contract, repair: Repair) -> None:
    """Go on with the topic as it is now, behind the old one's watermark."""
    if repair.does == REMAKES:
        recreate_topic(settings, contract)
    topic = topics.topic_state(settings, contract.topic.name)
    with postgres.connect(settings) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT topic_id FROM control.stream WHERE type = %s FOR UPDATE", [contract.type]
        )
        old = progress.progress(connection, contract.type, cursor.fetchone()[0])  # type: ignore[index]
        _begin(connection, contract, topic, old)
        cursor.execute(
            "UPDATE control.stream SET topic_id = %s WHERE type = %s",
            [topic.topic_id, contract.type],
        )
        _log(connection, contract, repair, topic.topic_id)


def _begin(
    connection: Connection, contract: Contract, topic: TopicState, old: Mapping[int, Progress]
) -> None:
    """A topic that comes back, as from a backup, goes on where it was left."""
    known = progress.progress(connection, contract.type, topic.topic_id)
    watermark = progress.watermark(old)
    for partition in topic.begin.keys() - known.keys():
        # From 0 on: what has expired in it meanwhile is refused, and given up by command.
        progress.add_partition(connection, contract, topic.topic_id, partition, 0, watermark)
    if known and watermark:
        connection.cursor().execute(
            "UPDATE control.stream_offset SET watermark = greatest(watermark, %s)"
            " WHERE type = %s AND topic_id = %s",
            [watermark, contract.type, topic.topic_id],
        )


def wrong_clock(settings: Settings, contract: Contract) -> Repair:
    """Let records that came with a wrong Kafka time arrive now: what it would do."""
    return _unread(settings, contract, "clock", "takes the present for a wrong time of")


def ignore_clock(settings: Settings, contract: Contract, repair: Repair) -> None:
    """Note up to which offset Kafka's times are not believed, and what stands for them."""
    _note(settings, contract, repair, "untimed_until = %s, untimed_at = now()")


def no_records(settings: Settings, contract: Contract) -> Repair:
    """Go on although offsets have no record, such as transactions' markers: what it would do."""
    return _unread(settings, contract, "holes", "skips what has no record in")


def allow_holes(settings: Settings, contract: Contract, repair: Repair) -> None:
    """Note up to which offset records may be missing."""
    _note(settings, contract, repair, "holes_until = %s")


def _unread(settings: Settings, contract: Contract, name: str, does: str) -> Repair:
    """A repair that is about everything in Kafka that is not committed."""
    topic = topics.topic_state(settings, contract.topic.name)
    with postgres.connect(settings) as connection:
        found = progress.progress(connection, contract.type, topic.topic_id)
    ranges = {p: (s.next, topic.end[p]) for p, s in found.items() if s.next < topic.end[p]}
    if not ranges:
        raise _nothing(contract, "every record in Kafka is committed")
    return Repair(f"repair {name} {contract.type}", does, ranges)


def _note(settings: Settings, contract: Contract, repair: Repair, change: str) -> None:
    topic_id = topics.topic_state(settings, contract.topic.name).topic_id
    with postgres.connect(settings) as connection, connection:
        for partition, (_, end) in repair.ranges.items():
            connection.cursor().execute(
                f"UPDATE control.stream_offset SET {change}"
                " WHERE type = %s AND topic_id = %s AND kafka_partition = %s",
                [end, contract.type, topic_id, partition],
            )
        _log(connection, contract, repair, topic_id)


def _log(connection: Connection, contract: Contract, repair: Repair, topic_id: str) -> None:
    detail = {"topic_id": topic_id, "ranges": repair.ranges, "records": repair.records}
    log_operation(connection, f"./ws {repair.command}", contract.type, detail)


def _nothing(contract: Contract, why: str) -> StoreError:
    return StoreError(f"nothing to repair for {contract.type}: {why}", "./ws status tells more")
