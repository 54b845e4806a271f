"""Is anything lost, doubled or wrong? Proves every store against the others, as of one commit.

Raw rows and quarantine are read up to the commit, whatever is written beyond it meanwhile. Rows
pass by; what is kept in memory is their sum per flow window and group.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from cassandra.cluster import Session
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.operations.audit import report
from watershed.operations.audit.cache import check_cache
from watershed.operations.audit.check import Check
from watershed.operations.audit.snapshot import (
    Extent,
    PartitionKey,
    Snapshot,
    begin_snapshot,
    snapshot,
)
from watershed.operations.audit.tally import (
    ALWAYS,
    Found,
    Tally,
    Total,
    Totals,
    add,
    differing,
    faulty_ranges,
    first_window,
    plain,
    without,
)
from watershed.settings import Settings
from watershed.speed import cache
from watershed.stores import cassandra, postgres, quarantine, raw, topics
from watershed.stores.topics import TopicState

READERS = 3  # they read 130 k rows/s on two cores, one alone 98 k

Watch = Callable[[int, int], None]
"""Told how many of a contract's records have been read, and how many there are."""


def audit(
    settings: Settings, contract: Contract, since: datetime | None, now: datetime, watch: Watch
) -> tuple[Snapshot, list[Check]]:
    """Every check of one contract, and the commit that they hold for (the cache's may be later).

    With ``since``, only records that arrived from then on. Raises one of UNAVAILABLE.
    """
    with (
        postgres.connect(settings) as connection,
        cassandra.connect(settings) as session,
        cache.connect(settings) as client,
    ):
        taken = snapshot(connection, contract, since, now)
        # What is short goes first, so that a server that is away is noticed before the long part.
        in_kafka = _kafka(settings, contract, taken)
        in_cache = check_cache(settings, contract, connection, session, client)
        in_report = _report(contract, connection, taken)
        found, totals = read_all(session, settings.cassandra_keyspace, contract, taken, watch)
        return taken, [
            _offsets(contract, taken, found),
            in_kafka,
            _flow(contract, taken, totals),
            _position(contract, taken, totals),
            in_cache,
            *in_report,
        ]


def read_all(
    session: Session, keyspace: str, contract: Contract, taken: Snapshot, watch: Watch
) -> tuple[dict[PartitionKey, Found], Totals]:
    """Every row, by Cassandra's partitions, a few at a time."""
    blocks = [(place, block) for place, extent in taken.extents.items() for block in extent.blocks]
    found = {place: Found() for place in taken.extents}
    totals: Totals = {}
    done = 0
    with ThreadPoolExecutor(READERS) as pool:
        results = pool.map(lambda at: read_block(session, keyspace, contract, *at), blocks)
        for (place, offsets), (block, sums) in zip(blocks, results, strict=True):
            found[place].merge(block)
            add(totals, sums.items())
            done += len(offsets)
            watch(done, taken.records)
    return found, totals


def read_block(
    session: Session, keyspace: str, contract: Contract, at: PartitionKey, offsets: range
) -> tuple[Found, Totals]:
    """What Cassandra has of some offsets of one partition, and what it adds up to."""
    place = *at, offsets
    columns = "kafka_offset", "arrival_time", contract.measure[1], *contract.flow.group_by.values()
    stored = Tally(contract.flow.window_s)
    rows = raw.rows(session, f"{keyspace}.{raw.table(contract).name}", columns, *place)
    rejected = raw.rows(session, f"{keyspace}.{quarantine.table().name}", columns[:1], *place)
    present = heapq.merge(stored.passing(rows), (row.kafka_offset for row in rejected))
    gaps, overlaps = faulty_ranges(offsets, present)
    quarantined = len(offsets) - sum(map(len, gaps)) + sum(map(len, overlaps)) - stored.count
    return Found(gaps, overlaps, stored.count, quarantined), stored.totals


def _offsets(contract: Contract, taken: Snapshot, found: dict[PartitionKey, Found]) -> Check:
    faults = [
        f"partition {place[1]}{_of(place[0], taken)}: {fault}"
        for place, extent in taken.extents.items()
        for fault in (*extent.faults, *uncovered(extent, found[place]))
    ]
    given_up = sum(len(one) for extent in taken.extents.values() for one in extent.skipped)
    looked_at = f"{len(found)} partitions, {taken.records:,} records"
    looked_at += f", {given_up:,} of them given up" if given_up else ""
    return Check.of(contract, "offsets", looked_at, faults)


def _of(topic_id: str, taken: Snapshot) -> str:
    return "" if topic_id == taken.topic_id else f" of the former topic {topic_id}"


def uncovered(extent: Extent, found: Found) -> Iterator[str]:
    """Where a partition's rows are not what was committed."""
    for gap in without(found.gaps, extent.skipped):
        if found.stored != extent.stored or gap.stop > extent.kept_from:
            yield f"[{gap.start}, {gap.stop}) is in neither raw store nor quarantine"
    for overlap in found.overlaps:
        yield f"[{overlap.start}, {overlap.stop}) is in both raw store and quarantine"
    if found.stored != extent.stored:
        yield f"{found.stored:,} raw rows, committed are {extent.stored:,}"
    if not extent.quarantined - extent.expired <= found.quarantined <= extent.quarantined:
        yield f"{found.quarantined:,} rows in quarantine, committed are {extent.quarantined:,}"


def _kafka(settings: Settings, contract: Contract, taken: Snapshot) -> Check:
    looked_at, name = f"{len(taken.offsets)} partitions", contract.topic.name
    try:
        faults = list(unlike_kafka(taken, topics.topic_state(settings, name)))
    except StoreError as error:  # there is no such topic
        faults = [error.cause]
    return Check.of(contract, "kafka", f"{looked_at} of topic {name}", faults)


def unlike_kafka(taken: Snapshot, topic: TopicState) -> Iterator[str]:
    """Where the committed vector is not one of this topic; what it has expired already is fine."""
    if taken.topic_id not in ("", topic.topic_id):
        yield f"the topic's id is {topic.topic_id}, committed is {taken.topic_id}"
        return
    for partition, following in taken.offsets.items():
        begin, end = topic.begin.get(partition, 0), topic.end.get(partition, 0)
        if following > end:
            yield f"partition {partition}: committed up to {following}, Kafka ends at {end}"
        if following < begin:
            yield f"partition {partition}: [{following}, {begin}) expired before it was read"


def _flow(contract: Contract, taken: Snapshot, totals: Totals) -> Check:
    first = first_window(taken.since, contract.flow.window_s) if taken.since else ALWAYS
    stored = {(s.window, *plain(s.groups)): Total(s.value, s.events) for s in taken.sums}
    rows = {key: total for key, total in totals.items() if key[0] >= first}
    begin = f" from {first:%Y-%m-%d %H:%M:%S} on" if taken.since else ""
    return Check.of(contract, "flow", f"{len(stored):,} sums{begin}", differing(stored, rows))


def _position(contract: Contract, taken: Snapshot, totals: Totals) -> Check:
    if taken.since:
        return Check.of(contract, "position", "skipped: it needs all records, from the first", [])
    places = [1 + list(contract.flow.group_by).index(c) for c in contract.position.group_by]
    rows = add({}, ((tuple(key[i] for i in places), total) for key, total in totals.items()))
    stored = {plain(p.groups): Total(p.value, p.events) for p in taken.positions}
    return Check.of(contract, "position", f"{len(stored):,} sums", differing(stored, rows))


def _report(contract: Contract, connection: Connection, taken: Snapshot) -> list[Check]:
    """What is published, in one transaction of its own; no check where nothing is reported."""
    if contract.report is None:
        return []
    begin_snapshot(connection)
    found = report.look(connection, contract, taken.since or ALWAYS)
    connection.rollback()
    looked_at = f"{found.intervals:,} intervals, {found.facts:,} facts"
    return [Check.of(contract, "report", looked_at, found.faults)]
