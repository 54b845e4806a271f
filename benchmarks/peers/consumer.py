"""What both Python consumers do with a record: read it, parse it, bind it.

Written by hand for transactions, as one would without contracts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from kafka import KafkaConsumer, TopicPartition

from watershed.settings import Settings
from watershed.stores.raw import BLOCK

IDLE_MS = 10_000
COLUMNS = (
    "topic_id",
    "kafka_partition",
    "offset_block",
    "kafka_offset",
    "kafka_time",
    "arrival_time",
    "transaction_id",
    "event_time",
    "branch",
    "currency",
    "amount",
)


def insert(settings: Settings, table: str) -> str:
    """The statement that writes one row, its values in the order of :data:`COLUMNS`."""
    marks = ", ".join("?" * len(COLUMNS))
    target = f"{settings.cassandra_keyspace}.{table}"
    return f"INSERT INTO {target} ({', '.join(COLUMNS)}) VALUES ({marks})"


def records(settings: Settings, topic: str, partitions: list[int], limit: int) -> Iterator[Any]:
    """``limit`` records of these partitions from their beginning, fewer if there are no more."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka_brokers.split(","),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=IDLE_MS,
    )
    consumer.assign([TopicPartition(topic, partition) for partition in partitions])
    try:
        for _, record in zip(range(limit), consumer, strict=False):
            yield record
    finally:
        consumer.close(autocommit=False)


def row(topic_id: str, record: Any) -> tuple[Any, ...] | None:
    """The values of one row; None for what cannot be parsed."""
    try:
        event = json.loads(record.value, parse_float=Decimal)
        time = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        return (
            topic_id,
            record.partition,
            record.offset // BLOCK,
            record.offset,
            time,
            time,
            UUID(event["transaction_id"]),
            datetime.fromisoformat(event["event_time"]),
            str(event["branch"]),
            str(event["currency"]),
            event["amount"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
