"""Kafka's topics, made from contracts."""

from __future__ import annotations

import time
from collections.abc import Iterable

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic

from watershed.contracts.model import Contract, Topic
from watershed.errors import StoreError
from watershed.settings import Settings
from watershed.stores.topics import CLOCK_TOPIC, admin

HOUR_MS = 3_600_000
POLL_S = 0.2


def ensure_topics(settings: Settings, contracts: Iterable[Contract]) -> None:
    """Make the topics that are missing; give the others the contract's partitions and retention.

    A topic with more partitions keeps them.
    """
    with admin(settings) as client:
        known = {topic["name"]: topic for topic in client.describe_topics()}
        if CLOCK_TOPIC not in known:
            client.create_topics([_clock()], wait_for_metadata=True)
        for contract in contracts:
            topic = contract.topic
            if topic.name not in known:
                client.create_topics([_new(contract)], wait_for_metadata=True)
                continue
            _set_retention(client, topic)
            if len(known[topic.name]["partitions"]) < topic.partitions:
                client.create_partitions({topic.name: topic.partitions})


def _set_retention(client: KafkaAdminClient, topic: Topic) -> None:
    retention = {"retention.ms": _retention_ms(topic)}
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, retention)
    found = client.alter_configs([resource], incremental=True)["topic"][topic.name]
    if found != "OK":
        raise StoreError(f"topic {topic.name}: its retention cannot be set: {found}")


def _retention_ms(topic: Topic) -> str:
    return str(topic.retention_hours * HOUR_MS)


def _new(contract: Contract) -> NewTopic:
    return NewTopic(
        contract.topic.name,
        num_partitions=contract.topic.partitions,
        replication_factor=-1,
        topic_configs={
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": _retention_ms(contract.topic),
        },
    )


def _clock() -> NewTopic:
    """The topic of probes, whose timestamps tell the broker's time."""
    config = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(HOUR_MS)}
    return NewTopic(CLOCK_TOPIC, num_partitions=1, replication_factor=-1, topic_configs=config)


def recreate_topic(settings: Settings, contract: Contract) -> None:
    """Delete a contract's topic with all that is in it, and make it anew."""
    with admin(settings) as client:
        client.delete_topics([contract.topic.name])
        while contract.topic.name in client.list_topics():
            time.sleep(POLL_S)
    ensure_topics(settings, [contract])
