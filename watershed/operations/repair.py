"""``./ws repair``: an operator's decisions when the stream refuses to go on; each is logged.

Nothing here touches a stored event. The stream looks again every few seconds, and goes on by
itself once its refusal no longer holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cassandra.cluster import Session
from psycopg2.extensions import cursor as Cursor

from watershed.contracts.model import Contract
from watershed.errors import ProgressError, StoreError
from watershed.provision.topics import recreate_topic
from watershed.settings import Settings
from watershed.speed import progress, time_index
from watershed.speed.progress import Progress
from watershed.speed.time_index import OffsetRange
from watershed.stores import cassandra, postgres, quarantine, raw, topics
from watershed.stores.operator_log import log_operation
from watershed.stores.postgres import transaction
from watershed.stores.record_id import TopicPartition
from watershed.stores.topics import TopicState

REMAKES = "deletes the topic, makes it anew, and loses of it what is not stored"


@dataclass(frozen=True)
class Repair:
    """What a repair will do, and has done once it is applied: offsets by Kafka partition."""

    command: str
    does: str
    ranges: dict[int, range]

    @property
    def records(self) -> int:
        """How many records the ranges have."""
        return sum(map(len, self.ranges.values()))


def expired(settings: Settings, contract: Contract) -> Repair:
    """Give up the records that Kafka no longer has and the raw store never got: what it would do.

    Raises StoreError when there is nothing to give up, ProgressError when the raw store has them.
    """
    topic = topics.topic_state(settings, contract.topic.name)
    with postgres.connect(settings) as connection, transaction(connection) as cursor:
        partitions = progress.read(cursor, contract.type, topic.topic_id)
    with cassandra.connect(settings) as session:
        ranges = {
            partition: _not_stored(session, contract, topic, partition, offsets)
            for partition, state in partitions.items()
            if (offsets := range(state.next, topic.begin[partition]))
        }
    if not ranges:
        raise _nothing(contract, "no record has expired before it was committed")
    return Repair(f"repair expired {contract.type}", "gives up", ranges)


def _not_stored(
    session: Session, contract: Contract, topic: TopicState, partition: int, offsets: range
) -> range:
    """The first of the offsets, up to one that a store has: the range given up ends there."""
    end = offsets.stop
    for table in (raw.table(contract).name, quarantine.table().name):
        before = range(offsets.start, end)
        at = TopicPartition(topic.topic_id, partition)
        rows = raw.rows(session, table, ("kafka_offset",), at, before)
        end = next((row.kafka_offset for row in rows), end)
    if end == offsets.start:
        raise ProgressError(
            f"{topic.name}/{partition}: the raw store has the records from {end} on",
            f"./ws rebuild flow {contract.type} takes them from there; nothing need be given up",
        )
    return range(offsets.start, end)


def give_up(settings: Settings, contract: Contract, repair: Repair) -> None:
    """Move the committed offsets over what :func:`expired` found, and log who did it."""
    topic_id = topics.topic_state(settings, contract.topic.name).topic_id
    with postgres.connect(settings) as connection, transaction(connection) as cursor:
        sequence = progress.next_sequence(cursor, contract.type)
        partitions = progress.read(cursor, contract.type, topic_id)
        for partition, offsets in repair.ranges.items():
            if not progress.skip(
                cursor, contract.type, TopicPartition(topic_id, partition), offsets
            ):
                raise _gone_on(contract, partition)
            at = partitions[partition].watermark or datetime.now(UTC)
            skipped = OffsetRange(
                partition, offsets.start, offsets.stop, at, at, 0, 0, len(offsets)
            )
            time_index.add(cursor, contract, topic_id, skipped, sequence)
        _log(cursor, contract, repair, topic_id)


def _gone_on(contract: Contract, partition: int) -> ProgressError:
    return ProgressError(
        f"{contract.topic.name}/{partition} has gone on meanwhile: nothing was given up",
        f"look at ./ws status; ./ws repair expired {contract.type} if it refuses again",
    )


def new_topic(settings: Settings, contract: Contract) -> Repair:
    """Go on with a re-created topic from its beginning: what it would do.

    A topic that ends before what is committed, as after a restore of Kafka, is deleted and made
    anew: what is in it and not stored is lost. Raises StoreError when the topic is as committed.
    """
    topic = topics.topic_state(settings, contract.topic.name)
    command = f"repair topic {contract.type}"
    with postgres.connect(settings) as connection, transaction(connection) as cursor:
        topic_id = progress.topic_id(cursor, contract.type)
        partitions = progress.read(cursor, contract.type, topic.topic_id)
    if topic_id not in (None, topic.topic_id):
        whole = {p: range(topic.begin[p], topic.end[p]) for p in topic.begin}
        return Repair(command, "reads", whole)
    if all(state.next <= topic.end[p] for p, state in partitions.items()):
        raise _nothing(contract, f"topic {topic.name} is the one whose offsets are committed")
    return Repair(command, REMAKES, _not_committed(topic, partitions))


def _not_committed(topic: TopicState, partitions: Mapping[int, Progress]) -> dict[int, range]:
    """What Kafka has beyond the commit, per partition; none where it has nothing."""
    waiting = {p: range(state.next, topic.end[p]) for p, state in partitions.items()}
    return {partition: offsets for partition, offsets in waiting.items() if offsets}


def adopt_topic(settings: Settings, contract: Contract, repair: Repair) -> None:
    """Go on with the topic as it is now, behind the old one's watermark."""
    if repair.does == REMAKES:
        recreate_topic(settings, contract)
    topic = topics.topic_state(settings, contract.topic.name)
    with postgres.connect(settings) as connection, transaction(connection) as cursor:
        progress.hold_commits(cursor, contract.type)
        old = progress.read_current(cursor, contract.type)
        _begin(cursor, contract, topic, progress.watermark(old))
        progress.set_topic_id(cursor, contract.type, topic.topic_id)
        _log(cursor, contract, repair, topic.topic_id)


def _begin(
    cursor: Cursor, contract: Contract, topic: TopicState, watermark: datetime | None
) -> None:
    """A topic that comes back, as from a backup, goes on where it was left."""
    known = progress.read(cursor, contract.type, topic.topic_id)
    for partition in topic.begin.keys() - known.keys():
        # From 0 on: what has expired in it meanwhile is refused, and given up by command.
        at = TopicPartition(topic.topic_id, partition)
        progress.add_partition(cursor, contract, at, 0, watermark)
    if known and watermark:
        progress.raise_watermarks(cursor, contract.type, topic.topic_id, watermark)


def wrong_clock(settings: Settings, contract: Contract) -> Repair:
    """Let records that came with a wrong Kafka time arrive now: what it would do."""
    return _unread(settings, contract, "clock", "takes the present for a wrong time of")


def ignore_clock(settings: Settings, contract: Contract, repair: Repair) -> None:
    """Note up to which offset Kafka's times are not believed, and what stands for them."""
    _note(settings, contract, repair, progress.ignore_times)


def no_records(settings: Settings, contract: Contract) -> Repair:
    """Go on although offsets have no record, such as transactions' markers: what it would do."""
    return _unread(settings, contract, "holes", "skips what has no record in")


def allow_holes(settings: Settings, contract: Contract, repair: Repair) -> None:
    """Note up to which offset records may be missing."""
    _note(settings, contract, repair, progress.allow_holes)


def _unread(settings: Settings, contract: Contract, name: str, does: str) -> Repair:
    """A repair that is about everything in Kafka that is not committed."""
    topic = topics.topic_state(settings, contract.topic.name)
    with postgres.connect(settings) as connection, transaction(connection) as cursor:
        partitions = progress.read(cursor, contract.type, topic.topic_id)
    ranges = _not_committed(topic, partitions)
    if not ranges:
        raise _nothing(contract, "every record in Kafka is committed")
    return Repair(f"repair {name} {contract.type}", does, ranges)


def _note(
    settings: Settings,
    contract: Contract,
    repair: Repair,
    note: Callable[[Cursor, str, TopicPartition, int], None],
) -> None:
    """Note something of each partition up to the end of its range, and log who did it."""
    topic_id = topics.topic_state(settings, contract.topic.name).topic_id
    with postgres.connect(settings) as connection, transaction(connection) as cursor:
        for partition, offsets in repair.ranges.items():
            note(cursor, contract.type, TopicPartition(topic_id, partition), offsets.stop)
        _log(cursor, contract, repair, topic_id)


def _log(cursor: Cursor, contract: Contract, repair: Repair, topic_id: str) -> None:
    ranges = {partition: [o.start, o.stop] for partition, o in repair.ranges.items()}
    detail = {"topic_id": topic_id, "ranges": ranges, "records": repair.records}
    log_operation(cursor, f"./ws {repair.command}", contract.type, detail)


def _nothing(contract: Contract, why: str) -> StoreError:
    return StoreError(f"nothing to repair for {contract.type}: {why}", "./ws status tells more")
