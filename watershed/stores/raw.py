"""The raw store: every valid event once, immutable, keyed by where Kafka put it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cassandra.cluster import Session
from cassandra.query import SimpleStatement

from watershed.contracts.model import Contract
from watershed.stores.cassandra_table import Table
from watershed.stores.record_id import TopicPartition

BLOCK = 65_536
"""Records per Cassandra partition: it bounds a partition's size whatever the rate."""

FETCH = 5_000
KEY = "((topic_id, kafka_partition, offset_block), kafka_offset)"
CQL_TYPES = {
    "string": "text",
    "uuid": "uuid",
    "boolean": "boolean",
    "integer": "bigint",
    "double": "double",
    "timestamp": "timestamp",
    "decimal": "decimal",
}


def table(contract: Contract) -> Table:
    """The raw table of a contract, named as its type."""
    return Table(
        contract.type,
        {
            "topic_id": "text",
            "kafka_partition": "int",
            "offset_block": "bigint",
            "kafka_offset": "bigint",
            "kafka_time": "timestamp",
            "arrival_time": "timestamp",
            **{name: CQL_TYPES[field.kind] for name, field in contract.fields.items()},
            "extra": "text",
        },
        KEY,
        contract.retention.ttl_days,
    )


def blocks(offsets: range) -> list[range]:
    """Offsets of one Kafka partition, cut where Cassandra's partitions end."""
    start, stop = offsets.start, offsets.stop
    whole = [range(at, at + BLOCK) for at in range(start // BLOCK * BLOCK, stop, BLOCK)]
    return [range(max(start, b.start), min(stop, b.stop)) for b in whole if start < stop]


def rows(
    session: Session,
    table: str,
    columns: tuple[str, ...],
    partition: TopicPartition,
    offsets: range,
) -> Iterator[Any]:
    """Rows of one Kafka partition with ``kafka_offset`` in ``offsets``, in its order.

    ``table`` is the raw table's name or the quarantine's, which share the key.
    """
    query = SimpleStatement(
        f"SELECT {', '.join(columns)} FROM {table} WHERE topic_id = %s AND kafka_partition = %s"
        " AND offset_block = %s AND kafka_offset >= %s AND kafka_offset < %s",
        fetch_size=FETCH,
    )
    for block in range(offsets.start // BLOCK, -(-offsets.stop // BLOCK)):
        key = (*partition, block, offsets.start, offsets.stop)
        yield from session.execute(query, key)


def with_value(
    session: Session,
    table: str,
    columns: tuple[str, ...],
    partition: TopicPartition,
    offsets: range,
    column: str,
    value: Any,
) -> list[Any]:
    """Rows with ``column = value`` in a range of one Cassandra partition; the server looks."""
    query = (
        f"SELECT {', '.join(columns)} FROM {table} WHERE topic_id = %s AND kafka_partition = %s"
        f" AND offset_block = %s AND kafka_offset >= %s AND kafka_offset < %s AND {column} = %s"
        " ALLOW FILTERING"
    )
    key = (*partition, offsets.start // BLOCK, offsets.start, offsets.stop)
    return list(session.execute(query, (*key, value)))
