"""Views made again from what is immutable: the flow from the raw store, the cache from both.

The stream need not be stopped. The long part reads up to one commit; then a short transaction
holds commits back, reads what came since, and puts the new sums in place of the old ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection

from watershed.audit import Watch, read_all, read_block
from watershed.committed import Extent, PartitionKey, snapshot
from watershed.contracts.model import Contract
from watershed.coverage import Totals, add, first_window
from watershed.settings import Settings
from watershed.stores import (
    cache,
    cassandra,
    commit,
    control,
    flow,
    postgres,
    quarantine,
    raw,
    topics,
)
from watershed.stores.commit import OffsetRange
from watershed.stores.flow import Sum
from watershed.stores.operations import log_operation
from watershed.stores.topics import TopicState


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
    offsets first move over what the raw store has of the range in between.
    """
    topic = topics.topic_state(settings, contract.topic.name)
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        taken = snapshot(connection, contract, None, datetime.now(UTC))
        keyspace = settings.cassandra_keyspace
        _, totals = read_all(session, keyspace, contract, taken, watch)
        first = first_window(taken.since, contract.flow.window_s) if taken.since else None
        with connection:  # commits, or rolls back on any error
            sequence = control.next_sequence(connection, contract.type)
            absorbed = _absorb(connection, session, keyspace, contract, topic, sequence)
            for place, offsets in _since(connection, contract, taken.extents):
                for block in Extent(offsets, 0, 0).blocks:
                    _, more = read_block(session, keyspace, contract, place, block)
                    add(totals, more.items())
            sums = _sums(totals, first)
            flow.replace(connection, contract, first, sums)
            detail = {"sums": len(sums), "since": str(first), "taken": absorbed}
            log_operation(connection, f"./ws rebuild flow {contract.type}", contract.type, detail)
    return Rebuilt(len(sums), first, absorbed)


def rebuild_cache(settings: Settings, contract: Contract) -> int:
    """Empty the contract's cache and make it again; the commit that it is as of."""
    with (
        postgres.connect(settings) as connection,
        cassandra.connect(settings) as session,
        cache.connect(settings) as client,
    ):
        cache.clear(client, contract)
        ttl_s, keyspace = settings.cache_ttl_s, settings.cassandra_keyspace
        sequence = cache.rebuild(client, contract, ttl_s, connection, session, keyspace)
        with connection:
            command = f"./ws rebuild cache {contract.type}"
            log_operation(connection, command, contract.type, {"sequence": sequence})
    return sequence


def _sums(totals: Totals, first: datetime | None) -> list[Sum]:
    return [
        Sum(window, tuple(groups), *total)
        for (window, *groups), total in totals.items()
        if first is None or window >= first
    ]


def _since(
    connection: Connection, contract: Contract, seen: dict[PartitionKey, Extent]
) -> Iterator[tuple[PartitionKey, range]]:
    """What is committed now and was not when the snapshot was taken."""
    for place, state in control.all_progress(connection, contract.type).items():
        begin = seen[place].offsets.stop if place in seen else state.begin
        yield place, range(begin, state.next)


def _absorb(
    connection: Connection,
    session: Session,
    keyspace: str,
    contract: Contract,
    topic: TopicState,
    sequence: int,
) -> dict[int, tuple[int, int]]:
    """Move the offsets over what Kafka no longer has and the raw store does, without a gap."""
    found = {}
    for partition, state in control.progress(connection, contract.type, topic.generation).items():
        missing = range(state.next, topic.begin[partition])
        rows = _rows(session, keyspace, contract, topic.generation, partition, missing)
        run = [row for at, row in takewhile(lambda p: p[0] == p[1][0], zip(missing, rows))]  # noqa: B905
        if run:
            one = _range(partition, run)
            commit.advance(connection, contract, topic.generation, one)
            commit.index(connection, contract, topic.generation, one, sequence)
            found[partition] = one.from_offset, one.to_offset
    return found


def _rows(
    session: Session, keyspace: str, contract: Contract, generation: str, partition: int, at: range
) -> list[tuple[int, datetime, bool]]:
    """``(offset, arrival time, valid)`` of all that is stored, by offset."""
    columns = "kafka_offset", "arrival_time"
    tables = (raw.table(contract).name, True), (quarantine.table().name, False)
    return sorted(
        (row.kafka_offset, row.arrival_time.replace(tzinfo=UTC), valid)
        for table, valid in tables
        for row in raw.rows(session, f"{keyspace}.{table}", columns, generation, partition, at)
    )


def _range(partition: int, run: list[Any]) -> OffsetRange:
    stored = sum(valid for *_, valid in run)
    arrivals = [arrival for _, arrival, _ in run]
    return OffsetRange(
        partition, run[0][0], run[-1][0] + 1, min(arrivals), max(arrivals), stored,
        len(run) - stored,
    )  # fmt: skip
