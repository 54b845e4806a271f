"""Kafka on its own, for the producers' tests."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import uuid4

import pytest
from kafka.admin import NewTopic

from tests.stack import Stack
from watershed.stores.topics import admin


@dataclass(frozen=True)
class Broker:
    """The stack's broker, which can be taken away for a while."""

    stack: Stack
    brokers: str

    def away(self) -> AbstractContextManager[None]:
        """Takes it away for a while; it answers again at the end."""
        return self.stack.away("kafka")


@pytest.fixture
def kafka(stack: Stack) -> Broker:
    return Broker(stack, stack.settings.kafka_brokers)


@pytest.fixture
def topic(stack: Stack) -> str:
    """A fresh topic with three partitions."""
    name = f"test-{uuid4().hex[:8]}"
    with admin(stack.settings) as client:
        config = {"message.timestamp.type": "LogAppendTime"}
        new = NewTopic(name, num_partitions=3, replication_factor=1, topic_configs=config)
        client.create_topics([new], wait_for_metadata=True)
    return name
