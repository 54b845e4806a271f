"""Critical events by entity and time: what the cache is made from.

Rows are immutable: a repeated event has a row of its own, and of rows with one event id the
newest event time counts, then the first arrival. The cache keeps by the same rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from cassandra.cluster import Session
from cassandra.query import SimpleStatement

from watershed.contracts.model import Contract
from watershed.stores.cassandra_table import Table
from watershed.stores.record_id import TopicPartition

Committed = Mapping[TopicPartition, int]
"""The next offset per Kafka partition: later rows are not committed yet."""


class CriticalEvent(NamedTuple):
    """One critical event; ``event`` is its JSON text."""

    entity: str
    event_time: datetime
    event_id: str
    event: str


def tables(contract: Contract) -> tuple[Table, Table]:
    """``critical_<type>`` and the list of each entity's buckets."""
    days = contract.retention.ttl_days
    events = {
        "entity": "text",
        "bucket": "timestamp",
        "event_time": "timestamp",
        "event_id": "text",
        "topic_id": "text",
        "kafka_partition": "int",
        "kafka_offset": "bigint",
        "event": "text",
    }
    key = "((entity, bucket), event_time, event_id, topic_id, kafka_partition, kafka_offset)"
    order = "event_time DESC, event_id DESC, topic_id ASC, kafka_partition ASC, kafka_offset ASC"
    buckets = {"entity": "text", "bucket": "timestamp"}
    return (
        Table(f"critical_{contract.type}", events, key, days, order),
        Table(
            f"critical_{contract.type}_bucket", buckets, "((entity), bucket)", days, "bucket DESC"
        ),
    )


def add_buckets(session: Session, contract: Contract, buckets: set[tuple[str, datetime]]) -> None:
    """Note that these entities have events in these buckets."""
    table = f"critical_{contract.type}_bucket"
    for entity, bucket in sorted(buckets):
        session.execute(f"INSERT INTO {table} (entity, bucket) VALUES (%s, %s)", [entity, bucket])


def entities(session: Session, contract: Contract) -> list[str]:
    """Every entity that has a critical event."""
    table = f"critical_{contract.type}_bucket"
    return sorted(row.entity for row in session.execute(f"SELECT DISTINCT entity FROM {table}"))


def newest(
    session: Session, contract: Contract, entity: str, committed: Committed
) -> list[CriticalEvent]:
    """The events that the cache should hold for an entity, newest first."""
    found: dict[str, CriticalEvent] = {}
    for event in _newest_first(session, contract, entity, committed):
        found.setdefault(event.event_id, event)
        if len(found) == contract.critical.keep:
            break
    return list(found.values())


PAGES_OF = 2
"""So many times what is kept: repeated ones, and those after the commit, are passed over."""


def _newest_first(
    session: Session, contract: Contract, entity: str, committed: Committed
) -> Iterator[CriticalEvent]:
    table = f"critical_{contract.type}"
    buckets = session.execute(f"SELECT bucket FROM {table}_bucket WHERE entity = %s", [entity])
    query = SimpleStatement(
        f"SELECT * FROM {table} WHERE entity = %s AND bucket = %s",
        fetch_size=PAGES_OF * contract.critical.keep,
    )
    for (bucket,) in buckets:
        for row in session.execute(query, [entity, bucket]):
            partition = TopicPartition(row.topic_id, row.kafka_partition)
            if row.kafka_offset < committed.get(partition, 0):
                yield CriticalEvent(entity, row.event_time, row.event_id, row.event)
