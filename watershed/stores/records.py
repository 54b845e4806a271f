"""Single records in Kafka: sent with a header, and found by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from watershed.settings import Settings

BLOCK_MS = 5_000
REQUEST_MS = 5_000
DELIVERY_MS = 10_000
SENT_WITHIN_S = (BLOCK_MS + DELIVERY_MS) / 1000
"""So long after it was handed over, a record is in Kafka or will never be."""

SILENCE_S = 30

Header = tuple[str, bytes]


@contextmanager
def producer(settings: Settings) -> Iterator[KafkaProducer]:
    """An idempotent producer that gives up soon, closed at the end. Raises KafkaError."""
    client = KafkaProducer(
        bootstrap_servers=settings.kafka_brokers.split(","),
        acks="all",
        enable_idempotence=True,
        max_block_ms=BLOCK_MS,
        request_timeout_ms=REQUEST_MS,
        delivery_timeout_ms=DELIVERY_MS,
    )
    try:
        yield client
    finally:
        client.close(timeout=REQUEST_MS / 1000)


def send(
    client: KafkaProducer, topic: str, key: bytes, value: bytes, header: Header
) -> tuple[int, int]:
    """Send one record; ``(partition, offset)`` as acknowledged.

    Raises KafkaError: the record may then be in Kafka or not, and is no longer tried.
    """
    sent = client.send(topic, key=key, value=value, headers=[header])
    done = sent.get(timeout=SENT_WITHIN_S)
    return done.partition, done.offset


def find(
    settings: Settings, topic: str, offsets: dict[int, range], header: Header
) -> tuple[int, int] | None:
    """``(partition, offset)`` of the first record with a header, in these ranges per partition.

    Kafka must have the ranges whole. Raises KafkaError.
    """
    left = {TopicPartition(topic, p): offset for p, offset in offsets.items() if offset}
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka_brokers.split(","))
    try:
        consumer.assign(list(left))
        for partition, wanted in left.items():
            consumer.seek(partition, wanted.start)
        return _read(consumer, left, header)
    finally:
        consumer.close()


def _read(
    consumer: Any, left: dict[TopicPartition, range], header: Header
) -> tuple[int, int] | None:
    heard_at = time.monotonic()
    while left:
        for partition, records in consumer.poll(timeout_ms=500).items():
            heard_at = time.monotonic()
            for record in records:
                if header in record.headers and record.offset in left.get(partition, ()):
                    return record.partition, record.offset
        left = {p: one for p, one in left.items() if consumer.position(p) < one.stop}
        consumer.assign(list(left))  # those that stay keep their position
        if left and time.monotonic() - heard_at > SILENCE_S:
            raise KafkaTimeoutError(f"Kafka did not hand out {left} in {SILENCE_S} s")
    return None
