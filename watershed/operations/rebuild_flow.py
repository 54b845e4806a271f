"""``./ws rebuild flow``: the flow made again from the raw store, which is immutable.

The stream need not be stopped. The long part reads up to one commit; then a short transaction
holds commits back, reads what came since, and puts the new sums in place of the old ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile

from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.errors import ProgressError
from watershed.operations.audit.audit import Watch, read_all, read_block, uncovered
from watershed.operations.audit.snapshot import Extent, PartitionKey, Snapshot, snapshot
from watershed.operations.audit.tally import Found, Totals, add, first_window
from watershed.settings import Settings
from watershed.speed import commit, flow, progress, time_index
from watershed.speed.flow import Sum
from watershed.speed.time_index import OffsetRange
from watershed.stores import cassandra, postgres, quarantine, raw, topics
from watershed.stores.operator_log import log_operation
from watershed.stores.topics import TopicState

STALLED_S = 60


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild of the flow found: sums written, and offsets taken from the raw store.

    ``since`` is None when all of it was made again, else the first window.
    """

    sums: int
    since: datetime | None
    taken: dict[int, tuple[int, int]]


def rebuild_flow(settings: Settings, contract: Contract, watch: Watch) -> Rebuilt:
    """Make flow and position again from the raw store, as far back as it reaches.

    Where PostgreSQL is older than Kafka's oldest record, as after a restore, the committed
    offsets first move over what the raw store has of the range in between. Raises ProgressError
    when the raw store lacks something that is committed: the sums are then better than it.
    """
    topic = topics.topic_state(settings, contract.topic.name)
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        store = Store(session, settings.cassandra_keyspace, contract)
        taken = snapshot(connection, contract, None, datetime.now(UTC))
        found, totals = read_all(session, store.keyspace, contract, taken, watch)
        _refuse_gaps(contract, taken, found)
        runs = list(_expired(connection, store, topic))
        for one in runs:
            store.add(totals, (topic.topic_id, one.partition), one.from_offset, one.to_offset)
        connection.rollback()
        first = first_window(taken.since, contract.flow.window_s) if taken.since else None
        with connection:  # commits, or rolls back on any error
            _limit(connection)
            sequence = progress.next_sequence(connection, contract.type)
            seen = {place: extent.offsets.stop for place, extent in taken.extents.items()}
            for place, state in progress.all_progress(connection, contract.type).items():
                store.add(totals, place, seen.get(place, state.begin), state.next)
            for one in runs:
                commit.advance(connection, contract, topic.topic_id, one)
                time_index.index(connection, contract, topic.topic_id, one, sequence)
            sums = _sums(totals, first)
            flow.replace(connection, contract, first, sums)
            absorbed = _joined(runs)
            detail = {"sums": len(sums), "since": str(first), "taken": absorbed}
            log_operation(connection, f"./ws rebuild flow {contract.type}", contract.type, detail)
    return Rebuilt(len(sums), first, absorbed)


def _sums(totals: Totals, first: datetime | None) -> list[Sum]:
    return [
        Sum(window, tuple(groups), *total)
        for (window, *groups), total in totals.items()
        if first is None or window >= first
    ]


def _refuse_gaps(contract: Contract, taken: Snapshot, found: dict[PartitionKey, Found]) -> None:
    faults = [
        f"{contract.topic.name}/{place[1]}: {fault}"
        for place, extent in taken.extents.items()
        for fault in uncovered(extent, found[place])
    ]
    if faults:
        raise ProgressError(
            f"the raw store is not what was committed, so it cannot make the sums: {faults[0]}",
            f"the sums as they are stay; ./ws audit shows all {len(faults)} faults: bring back the"
            " raw store's copy first",
        )


def _limit(connection: Connection) -> None:
    """Let PostgreSQL end this transaction if it stalls: it keeps the stream from committing."""
    cursor = connection.cursor()
    cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{STALLED_S}s'")


@dataclass(frozen=True)
class Store:
    """The raw store of one contract, read by Cassandra's partitions."""

    session: Session
    keyspace: str
    contract: Contract

    def add(self, totals: Totals, place: PartitionKey, begin: int, end: int) -> None:
        """Add what the rows of these offsets come to."""
        for block in Extent(range(begin, end), 0, 0).blocks:
            _, more = read_block(self.session, self.keyspace, self.contract, place, block)
            add(totals, more.items())

    def rows(self, place: PartitionKey, at: range) -> list[tuple[int, datetime, bool]]:
        """``(offset, arrival time, valid)`` of all that is stored, by offset."""
        columns = "kafka_offset", "arrival_time"
        tables = (raw.table(self.contract).name, True), (quarantine.table().name, False)
        return sorted(
            (row.kafka_offset, row.arrival_time.replace(tzinfo=UTC), valid)
            for table, valid in tables
            for row in raw.rows(self.session, f"{self.keyspace}.{table}", columns, *place, at)
        )


def _expired(connection: Connection, store: Store, topic: TopicState) -> Iterator[OffsetRange]:
    """What Kafka no longer has, was not committed, and is stored without a gap; by blocks."""
    partitions = progress.progress(connection, store.contract.type, topic.topic_id)
    for partition, state in partitions.items():
        missing = range(state.next, max(state.next, topic.begin.get(partition, 0)))
        for block in Extent(missing, 0, 0).blocks:
            rows = store.rows((topic.topic_id, partition), block)
            pairs = zip(block, rows, strict=False)
            run = [row for at, row in takewhile(lambda p: p[0] == p[1][0], pairs)]
            if run:
                yield _range(partition, run)
            if len(run) < len(block):
                break


def _joined(runs: list[OffsetRange]) -> dict[int, tuple[int, int]]:
    """The runs of each partition as one range."""
    found: dict[int, tuple[int, int]] = {}
    for one in runs:
        begin, _ = found.get(one.partition, (one.from_offset, 0))
        found[one.partition] = begin, one.to_offset
    return found


def _range(partition: int, run: list[tuple[int, datetime, bool]]) -> OffsetRange:
    stored = sum(valid for *_, valid in run)
    arrivals = [arrival for _, arrival, _ in run]
    return OffsetRange(
        partition, run[0][0], run[-1][0] + 1, min(arrivals), max(arrivals), stored,
        len(run) - stored,
    )  # fmt: skip
