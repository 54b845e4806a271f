"""``./ws rebuild flow``: the flow made again from the raw store, which is immutable.

The stream need not be stopped. The long part reads up to one commit; then a short transaction
holds commits back, reads what came since, and puts the new sums in place of the old ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import NamedTuple

from cassandra.cluster import Session
from psycopg2.extensions import cursor as Cursor

from watershed.contracts.model import Contract
from watershed.errors import ProgressError
from watershed.operations.audit.audit import Watch, read_all, read_block, unlike_stored
from watershed.operations.audit.snapshot import CommitSnapshot, snapshot
from watershed.operations.audit.tally import PartitionTally, Totals, add, first_window
from watershed.settings import Settings
from watershed.speed import flow, progress, time_index
from watershed.speed.flow import Sum
from watershed.speed.time_index import OffsetRange
from watershed.stores import cassandra, postgres, quarantine, raw, topics
from watershed.stores.operator_log import log_operation
from watershed.stores.record_id import TopicPartition
from watershed.stores.topics import TopicState

STALLED_S = 60


@dataclass(frozen=True)
class RebuiltFlow:
    """What a rebuild of the flow did: sums written, and offsets adopted from the raw store.

    ``since`` is None when all of it was made again, else the first window.
    """

    sums: int
    since: datetime | None
    adopted: dict[int, tuple[int, int]]


def rebuild_flow(settings: Settings, contract: Contract, watch: Watch) -> RebuiltFlow:
    """Make flow and position again from the raw store, as far back as it reaches.

    Where PostgreSQL is older than Kafka's oldest record, as after a restore, the committed
    offsets first move over what the raw store has of the range in between. Raises ProgressError
    when the raw store lacks something that is committed: the sums are then better than it.
    """
    topic = topics.topic_state(settings, contract.topic.name)
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        committed = snapshot(connection, contract, None, datetime.now(UTC))
        tallies, totals = read_all(session, contract, committed, watch)
        _check_stored(contract, committed, tallies)
        with postgres.transaction(connection) as cursor:
            states = progress.read(cursor, contract.type, topic.topic_id)
        expired = list(_expired(session, contract, topic, states))
        for offsets in expired:
            at = TopicPartition(topic.topic_id, offsets.partition)
            _add(session, contract, totals, at, range(offsets.from_offset, offsets.to_offset))
        with postgres.transaction(connection) as cursor:
            _limit(cursor)
            sequence = progress.next_sequence(cursor, contract.type)
            _add_since(cursor, session, contract, committed, totals)
            for offsets in expired:
                progress.advance(cursor, contract, topic.topic_id, offsets)
                time_index.add(cursor, contract, topic.topic_id, offsets, sequence)
            return _replace(cursor, contract, committed, totals, _joined(expired))


def _add_since(
    cursor: Cursor,
    session: Session,
    contract: Contract,
    committed: CommitSnapshot,
    totals: Totals,
) -> None:
    """Add what was committed since the snapshot."""
    for key, state in progress.read_all(cursor, contract.type).items():
        seen = committed.partitions.get(key)
        begin = seen.offsets.stop if seen else state.begin
        _add(session, contract, totals, key, range(begin, state.next))


def _replace(
    cursor: Cursor,
    contract: Contract,
    committed: CommitSnapshot,
    totals: Totals,
    adopted: dict[int, tuple[int, int]],
) -> RebuiltFlow:
    """Put the totals in place of the sums; logged."""
    since = committed.since
    first = first_window(since, contract.flow.window_s) if since else None
    sums = [
        Sum(window, tuple(groups), *total)
        for (window, *groups), total in totals.items()
        if first is None or window >= first
    ]
    flow.replace(cursor, contract, first, sums)
    detail = {"sums": len(sums), "since": str(first), "adopted": adopted}
    log_operation(cursor, f"./ws rebuild flow {contract.type}", contract.type, detail)
    return RebuiltFlow(len(sums), first, adopted)


def _check_stored(
    contract: Contract,
    committed: CommitSnapshot,
    tallies: dict[TopicPartition, PartitionTally],
) -> None:
    """Raise ProgressError where the raw store lacks something that is committed."""
    faults = [
        f"{contract.topic.name}/{key.partition}: {fault}"
        for key, partition in committed.partitions.items()
        for fault in unlike_stored(partition, tallies[key])
    ]
    if faults:
        raise ProgressError(
            f"the raw store is not what was committed, so it cannot make the sums: {faults[0]}",
            f"the sums as they are stay; ./ws audit shows all {len(faults)} faults: bring back the"
            " raw store's copy first",
        )


def _limit(cursor: Cursor) -> None:
    """Let PostgreSQL end this transaction if it stalls: it keeps the stream from committing."""
    cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{STALLED_S}s'")


def _add(
    session: Session, contract: Contract, totals: Totals, partition: TopicPartition, offsets: range
) -> None:
    """Add what the raw rows of these offsets come to."""
    for block in raw.blocks(offsets):
        _, more = read_block(session, contract, partition, block)
        add(totals, more.items())


class StoredRecord(NamedTuple):
    """A record in the raw store, or, when it is not ``valid``, in the quarantine."""

    offset: int
    arrival_time: datetime
    valid: bool


def _stored(
    session: Session, contract: Contract, partition: TopicPartition, offsets: range
) -> list[StoredRecord]:
    """All that is stored of these offsets, in order."""
    columns = "kafka_offset", "arrival_time"
    tables = (raw.table(contract).name, True), (quarantine.table().name, False)
    return sorted(
        StoredRecord(row.kafka_offset, row.arrival_time.replace(tzinfo=UTC), valid)
        for table, valid in tables
        for row in raw.rows(session, table, columns, partition, offsets)
    )


def _expired(
    session: Session, contract: Contract, topic: TopicState, states: dict[int, progress.Progress]
) -> Iterator[OffsetRange]:
    """What Kafka no longer has, was not committed, and is stored without a gap; by blocks."""
    for partition, state in states.items():
        missing = range(state.next, max(state.next, topic.begin.get(partition, 0)))
        for block in raw.blocks(missing):
            records = _stored(session, contract, TopicPartition(topic.topic_id, partition), block)
            pairs = takewhile(
                lambda pair: pair[0] == pair[1].offset, zip(block, records, strict=False)
            )
            adjacent = [record for _, record in pairs]
            if adjacent:
                yield _range(partition, adjacent)
            if len(adjacent) < len(block):
                break


def _joined(adopted: list[OffsetRange]) -> dict[int, tuple[int, int]]:
    """The offsets of each partition as one range ``[begin, end)``."""
    ranges: dict[int, tuple[int, int]] = {}
    for offsets in adopted:
        begin, _ = ranges.get(offsets.partition, (offsets.from_offset, 0))
        ranges[offsets.partition] = begin, offsets.to_offset
    return ranges


def _range(partition: int, records: list[StoredRecord]) -> OffsetRange:
    stored = sum(record.valid for record in records)
    arrivals = [record.arrival_time for record in records]
    return OffsetRange(
        partition, records[0].offset, records[-1].offset + 1, min(arrivals), max(arrivals),
        stored, len(records) - stored,
    )  # fmt: skip
