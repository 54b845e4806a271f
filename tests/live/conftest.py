"""Kafka on its own, for the producers' tests."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import psutil
import pytest
from kafka.admin import NewTopic

from tests.stack import Stack, wait_until
from watershed.reachable import listens
from watershed.stack.state import read_state
from watershed.stores.topics import admin


@dataclass(frozen=True)
class Broker:
    """The stack's broker, which can be taken away for a while."""

    stack: Stack
    brokers: str

    def stop(self) -> None:
        """End the broker and keep its supervisor from starting it again."""
        broker = self.stack.process("kafka")
        self._supervisor().suspend()
        broker.terminate()
        wait_until(lambda: not listens(self.brokers), "the broker is gone")

    def start(self) -> None:
        """Let the supervisor start it again, and wait until it answers."""
        before = self.stack.restarts("kafka")
        self._supervisor().resume()
        self.stack.wait_restarted("kafka", before)

    def _supervisor(self) -> psutil.Process:
        state = read_state(self.stack.home)
        assert state is not None
        return psutil.Process(state.pid)


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
