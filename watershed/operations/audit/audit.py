"""``./ws audit``: proves every store against the others, as of one commit.

Raw rows and quarantine are read up to the commit, whatever is written beyond it meanwhile. Rows
pass by; what is kept in memory is their sum per flow window and group.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from cassandra.cluster import Session

from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.operations.audit import report
from watershed.operations.audit.cache import check_cache
from watershed.operations.audit.check import AuditCheck
from watershed.operations.audit.snapshot import (
    CommitSnapshot,
    CommittedOffsets,
    snapshot,
)
from watershed.operations.audit.tally import (
    ALWAYS,
    PartitionTally,
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
from watershed.stores import postgres, quarantine, raw, topics
from watershed.stores.clients import Clients, open_clients
from watershed.stores.record_id import TopicPartition
from watershed.stores.topics import TopicState

READERS = 3  # they read 130 k rows/s on two cores, one alone 98 k

Watch = Callable[[int, int], None]
"""Told how many of a contract's records have been read, and how many there are."""


def audit(
    settings: Settings, contract: Contract, since: datetime | None, now: datetime, watch: Watch
) -> tuple[CommitSnapshot, list[AuditCheck]]:
    """Every check of one contract, and the commit that they hold for (the cache's may be later).

    With ``since``, only records that arrived from then on. Raises one of UNAVAILABLE.
    """
    with open_clients(settings) as clients:
        committed = snapshot(clients.postgres, contract, since, now)
        # What is short goes first, so that a server that is away is noticed before the long part.
        in_kafka = _kafka(settings, contract, committed)
        in_cache = check_cache(clients, contract)
        in_report = _report(clients, contract, committed)
        tallies, totals = read_all(clients.cassandra, contract, committed, watch)
        return committed, [
            _offsets(contract, committed, tallies),
            in_kafka,
            _flow(contract, committed, totals),
            _position(contract, committed, totals),
            in_cache,
            *in_report,
        ]


def read_all(
    session: Session, contract: Contract, committed: CommitSnapshot, watch: Watch
) -> tuple[dict[TopicPartition, PartitionTally], Totals]:
    """Every row, by Cassandra's partitions, a few at a time."""
    blocks = [
        (key, block)
        for key, partition in committed.partitions.items()
        for block in raw.blocks(partition.offsets)
    ]
    tallies = {key: PartitionTally() for key in committed.partitions}
    totals: Totals = {}
    done = 0
    with ThreadPoolExecutor(READERS) as pool:
        results = pool.map(lambda block: read_block(session, contract, *block), blocks)
        for (key, offsets), (tally, sums) in zip(blocks, results, strict=True):
            tallies[key].merge(tally)
            add(totals, sums.items())
            done += len(offsets)
            watch(done, committed.records)
    return tallies, totals


def read_block(
    session: Session, contract: Contract, partition: TopicPartition, offsets: range
) -> tuple[PartitionTally, Totals]:
    """What Cassandra has of some offsets of one partition, and what it adds up to."""
    columns = "kafka_offset", "arrival_time", contract.measure[1], *contract.flow.group_by.values()
    stored = Tally(contract.flow.window_s)
    rows = raw.rows(session, raw.table(contract).name, columns, partition, offsets)
    rejected = raw.rows(session, quarantine.table().name, columns[:1], partition, offsets)
    present = heapq.merge(stored.passing(rows), (row.kafka_offset for row in rejected))
    gaps, overlaps = faulty_ranges(offsets, present)
    quarantined = len(offsets) - sum(map(len, gaps)) + sum(map(len, overlaps)) - stored.count
    return PartitionTally(gaps, overlaps, stored.count, quarantined), stored.totals


def _offsets(
    contract: Contract,
    committed: CommitSnapshot,
    tallies: Mapping[TopicPartition, PartitionTally],
) -> AuditCheck:
    partitions = committed.partitions
    faults = [
        f"partition {key.partition}{_of(key.topic_id, committed)}: {fault}"
        for key, partition in partitions.items()
        for fault in (*partition.faults, *unlike_stored(partition, tallies[key]))
    ]
    given_up = sum(len(r) for partition in partitions.values() for r in partition.skipped)
    looked_at = f"{len(partitions)} partitions, {committed.records:,} records"
    looked_at += f", {given_up:,} of them given up" if given_up else ""
    return AuditCheck.of(contract, "offsets", looked_at, faults)


def _of(topic_id: str, committed: CommitSnapshot) -> str:
    return "" if topic_id == committed.topic_id else f" of the former topic {topic_id}"


def unlike_stored(committed: CommittedOffsets, stored: PartitionTally) -> Iterator[str]:
    """Where a partition's rows are not what was committed."""
    for gap in without(stored.gaps, committed.skipped):
        if stored.stored != committed.stored or gap.stop > committed.kept_from:
            yield f"[{gap.start}, {gap.stop}) is in neither raw store nor quarantine"
    for overlap in stored.overlaps:
        yield f"[{overlap.start}, {overlap.stop}) is in both raw store and quarantine"
    if stored.stored != committed.stored:
        yield f"{stored.stored:,} raw rows, committed are {committed.stored:,}"
    least, most = committed.quarantined - committed.expired, committed.quarantined
    if not least <= stored.quarantined <= most:
        yield f"{stored.quarantined:,} rows in quarantine, committed are {most:,}"


def _kafka(settings: Settings, contract: Contract, committed: CommitSnapshot) -> AuditCheck:
    looked_at, name = f"{len(committed.offsets)} partitions", contract.topic.name
    try:
        faults = list(unlike_kafka(committed, topics.topic_state(settings, name)))
    except StoreError as error:  # there is no such topic
        faults = [error.cause]
    return AuditCheck.of(contract, "kafka", f"{looked_at} of topic {name}", faults)


def unlike_kafka(committed: CommitSnapshot, topic: TopicState) -> Iterator[str]:
    """Where the committed vector is not one of this topic; what has expired by now is fine."""
    if committed.topic_id not in ("", topic.topic_id):
        yield f"the topic's id is {topic.topic_id}, committed is {committed.topic_id}"
        return
    for partition, following in committed.offsets.items():
        begin, end = topic.begin.get(partition, 0), topic.end.get(partition, 0)
        if following > end:
            yield f"partition {partition}: committed up to {following}, Kafka ends at {end}"
        if following < begin:
            yield f"partition {partition}: [{following}, {begin}) expired before it was read"


def _flow(contract: Contract, committed: CommitSnapshot, totals: Totals) -> AuditCheck:
    first = first_window(committed.since, contract.flow.window_s) if committed.since else ALWAYS
    stored = {(s.window, *plain(s.groups)): Total(s.value, s.events) for s in committed.sums}
    rows = {key: total for key, total in totals.items() if key[0] >= first}
    begin = f" from {first:%Y-%m-%d %H:%M:%S} on" if committed.since else ""
    return AuditCheck.of(contract, "flow", f"{len(stored):,} sums{begin}", differing(stored, rows))


def _position(contract: Contract, committed: CommitSnapshot, totals: Totals) -> AuditCheck:
    if committed.since:
        return AuditCheck.of(
            contract, "position", "skipped: it needs all records, from the first", []
        )
    places = [1 + list(contract.flow.group_by).index(c) for c in contract.position.group_by]
    rows = add({}, ((tuple(key[i] for i in places), total) for key, total in totals.items()))
    stored = {plain(p.groups): Total(p.value, p.events) for p in committed.positions}
    return AuditCheck.of(contract, "position", f"{len(stored):,} sums", differing(stored, rows))


def _report(clients: Clients, contract: Contract, committed: CommitSnapshot) -> list[AuditCheck]:
    """What is published, in one transaction of its own; no check where nothing is reported."""
    if contract.report is None:
        return []
    with postgres.snapshot(clients.postgres) as cursor:
        published = report.check(cursor, contract, committed.since or ALWAYS)
    looked_at = f"{published.intervals:,} intervals, {published.facts:,} facts"
    return [AuditCheck.of(contract, "report", looked_at, published.faults)]
