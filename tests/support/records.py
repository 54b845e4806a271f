"""Single records for tests: sent by hand, run through ``./ws``, and known to the oracle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.support.oracle import Oracle
from tests.support.stack import Stack
from watershed.producer.ack_log import AckLog, Record
from watershed.stack.home import ROOT
from watershed.stores.record_id import RecordId
from watershed.stores.topics import topic_state

TOPIC = "transaction"
NEWEST = 100


def event(**changes: Any) -> bytes:
    """A valid transaction of now, or one changed so that it is not."""
    fields = {
        "transaction_id": str(uuid4()),
        "event_time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "branch": "Kazan",
        "currency": "RUB",
        "amount": 1.25,
    }
    return json.dumps(fields | changes).encode()


def run(stack: Stack, *arguments: str, value: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``./ws`` in a session of its own: a failpoint kills that and nothing else."""
    return subprocess.run(
        [sys.executable, ROOT / "ws", *arguments],
        input=value,
        env=os.environ | {"WATERSHED_HOME": str(stack.home.path)},
        capture_output=True,
        start_new_session=True,
        timeout=120,
    )


def send(stack: Stack, oracle: Oracle, key: bytes, value: bytes, kind: str) -> RecordId:
    """Send one record and tell the oracle."""
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka_brokers)
    done = producer.send(TOPIC, value, key=key).get(timeout=20)
    producer.close()
    AckLog(oracle.log).write(Record(key, value, kind), done.partition, done.offset, done.timestamp)
    return RecordId(TOPIC, done.partition, done.offset)


def newest(stack: Stack) -> list[Any]:
    """The newest records of the topic, more of each partition than a test sends one by one."""
    state = topic_state(stack.settings, TOPIC)
    ends = {TopicPartition(TOPIC, p): end for p, end in state.end.items() if end}
    consumer = KafkaConsumer(bootstrap_servers=stack.settings.kafka_brokers)
    consumer.assign(list(ends))
    for partition, end in ends.items():
        consumer.seek(partition, max(end - NEWEST, 0))
    found: list[Any] = []
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        found += [record for records in consumer.poll(1000).values() for record in records]
    consumer.close()
    return found


def tell(oracle: Oracle, record: Any, kind: str = "valid") -> None:
    """Let the oracle know of a record that is in Kafka."""
    acknowledged = Record(record.key, record.value, kind)
    AckLog(oracle.log).write(acknowledged, record.partition, record.offset, record.timestamp)
