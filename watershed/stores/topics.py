"""Kafka's topics: where they begin and end, and when by the broker's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (
    KafkaAdminClient,
    OffsetSpec,
)
from kafka.errors import KafkaConnectionError, KafkaError

from watershed.errors import StoreError
from watershed.settings import Settings
from watershed.stores.reachable import listens

READ_TIMEOUT_MS = 5_000
FETCH_BYTES = 4096  # a batch comes whole in any case
CLOCK_TOPIC = "watershed.clock"
"""The topic of probes, whose timestamps tell the broker's time."""

RECONNECT_MAX_MS = 1_000  # the default of 30 s would leave a returned broker unused for as long


@dataclass(frozen=True)
class TopicState:
    """A topic as the broker has it. It has another ``topic_id`` after a re-creation."""

    name: str
    topic_id: str
    begin: dict[int, int]
    end: dict[int, int]


@contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """An administrative client, closed at the end. Raises KafkaError."""
    brokers = settings.kafka_brokers.split(",")
    # kafka-python waits 30 s for a broker that is away, and leaks a thread when it gives up.
    if not any(map(listens, brokers)):
        raise KafkaConnectionError(f"nothing listens at {settings.kafka_brokers}")
    client = KafkaAdminClient(bootstrap_servers=brokers, reconnect_backoff_max_ms=RECONNECT_MAX_MS)
    try:
        yield client
    finally:
        client.close()


def topic_state(settings: Settings, name: str) -> TopicState:
    """Where a topic begins and ends now."""
    with admin(settings) as client:
        return read_topic(client, name)


def read_topic(client: KafkaAdminClient, name: str) -> TopicState:
    """Where a topic begins and ends now. Raises StoreError where there is none, KafkaError."""
    described = client.describe_topics([name])[0]
    if not described["partitions"]:
        raise StoreError(f"Kafka has no topic {name}", "./ws down, then ./ws up makes it")
    partitions = sorted(p["partition_index"] for p in described["partitions"])
    return TopicState(
        name,
        str(described["topic_id"]),
        _offsets(client, name, partitions, OffsetSpec.EARLIEST),
        _offsets(client, name, partitions, OffsetSpec.LATEST),
    )


class Broker:
    """A topic's broker, asked again and again by one thread at a time.

    The clients stay open: making one takes longer than a question does.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        """Connect. Raises KafkaError."""
        servers = settings.kafka_brokers.split(",")
        if not any(map(listens, servers)):  # for the reason given in `admin`
            raise KafkaConnectionError(f"nothing listens at {settings.kafka_brokers}")
        self._topic = topic
        self._admin = KafkaAdminClient(
            bootstrap_servers=servers,
            request_timeout_ms=READ_TIMEOUT_MS,
            reconnect_backoff_max_ms=RECONNECT_MAX_MS,
        )
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=servers,
                acks="all",
                max_block_ms=READ_TIMEOUT_MS,
                reconnect_backoff_max_ms=RECONNECT_MAX_MS,
            )
        except KafkaError:
            self._admin.close()
            raise

    def close(self) -> None:
        """Leave; a broker that is away is not waited for."""
        self._producer.close(timeout=0)
        self._admin.close()

    def topic_id(self) -> str:
        """The topic's id now; it never comes back after a re-creation."""
        return str(self._admin.describe_topics([self._topic])[0]["topic_id"])

    def topic(self) -> TopicState:
        """Where the topic begins and ends now."""
        return read_topic(self._admin, self._topic)

    def now(self) -> datetime:
        """The broker's time, by the timestamp that it gives a record. Raises KafkaError."""
        done = self._producer.send(CLOCK_TOPIC, b"").get(timeout=READ_TIMEOUT_MS / 1000)
        return datetime.fromtimestamp(done.timestamp / 1000, UTC)


def end_offsets(settings: Settings, name: str) -> dict[int, int]:
    """The next offset of each partition."""
    return topic_state(settings, name).end


def record_times(settings: Settings, name: str, offsets: Mapping[int, int]) -> dict[int, datetime]:
    """The Kafka time of each partition's first record from an offset on, where one is found."""
    places = {TopicPartition(name, partition): at for partition, at in offsets.items()}
    found: dict[int, datetime] = {}
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka_brokers.split(","), max_partition_fetch_bytes=FETCH_BYTES
    )
    try:
        consumer.assign(list(places))
        for place, offset in places.items():
            consumer.seek(place, offset)
        deadline = time.monotonic() + READ_TIMEOUT_MS / 1000
        while len(found) < len(places) and (left := deadline - time.monotonic()) > 0:
            for place, records in consumer.poll(timeout_ms=int(left * 1000)).items():
                time_s = records[0].timestamp / 1000
                found.setdefault(place.partition, datetime.fromtimestamp(time_s, UTC))
                consumer.pause(place)
    finally:
        consumer.close()
    return found


def _offsets(
    client: KafkaAdminClient, name: str, partitions: list[int], spec: OffsetSpec
) -> dict[int, int]:
    found = client.list_partition_offsets({TopicPartition(name, p): spec for p in partitions})
    return {partition.partition: int(value.offset) for partition, value in found.items()}
