"""The transaction producer against a real broker that goes away, comes back and refuses."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import sleep
from typing import IO, Any, NamedTuple, Protocol

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

pytestmark = pytest.mark.timeout(120)


class Kafka(Protocol):
    """What these tests need of the broker's fixture."""

    brokers: str

    def away(self) -> AbstractContextManager[None]: ...


class Stored(NamedTuple):
    """One record, as it is in Kafka or in the ack log."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes


class Producer:
    """The program under test, with its ack log."""

    def __init__(self, kafka: Kafka, topic: str, folder: Path, *options: str) -> None:
        self.ack_log = folder / "acks.jsonl"
        command = [sys.executable, "-m", "producers.transactions", "--broker", kafka.brokers]
        command += ["--topic", topic, "--ack-log", str(self.ack_log), *options]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)

    def hears(self, text: str) -> str:
        """The next line on stderr that contains ``text``."""
        return next(line for line in _lines(self.process.stderr) if text in line)

    def end(self, *signals: int) -> tuple[int, str]:
        """Send ``signals``; returns the exit code and what was still printed."""
        for number in signals:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out + err

    def acks(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ack_log.read_text().splitlines()]

    def acknowledged(self) -> list[Stored]:
        return sorted(
            Stored(ack["partition"], ack["offset"], ack["timestamp"], _key(ack), _value(ack))
            for ack in self.acks()
        )

    def runs(self) -> None:
        """Wait for the first acknowledgement."""
        while not (self.ack_log.exists() and self.ack_log.stat().st_size):
            assert self.process.poll() is None
            sleep(0.05)


def _lines(stream: IO[str] | None) -> Iterator[str]:
    assert stream
    return iter(stream.readline, "")


def _key(ack: dict[str, Any]) -> bytes:
    return bytes(ack["key"].encode())


def _value(ack: dict[str, Any]) -> bytes:
    return b64decode(ack["value_base64"]) if "value_base64" in ack else ack["value"].encode()


def consume(kafka: Kafka, topic: str) -> list[Stored]:
    """Everything in the topic, by partition and offset."""
    consumer = KafkaConsumer(bootstrap_servers=kafka.brokers, auto_offset_reset="earliest")
    partitions = [TopicPartition(topic, number) for number in range(3)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    found: list[Stored] = []
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for records in consumer.poll(timeout_ms=1000).values():
            found += [Stored(r.partition, r.offset, r.timestamp, r.key, r.value) for r in records]
    consumer.close()
    return sorted(found)


def accepted(output: str) -> int:
    """The number in the summary, where accepted and acknowledged must agree."""
    found = re.search(r"accepted (\d+) acknowledged (\d+) in", output)
    assert found, output
    assert found[1] == found[2]
    return int(found[1])


def test_the_ack_log_is_what_kafka_has(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    shares = ("--duplicates", "0.2", "--invalid", "0.2")
    producer = Producer(kafka, topic, tmp_path, "--rate", "0", "--count", "3000", *shares)
    code, output = producer.end()
    assert (code, accepted(output)) == (0, 3000)
    stored = consume(kafka, topic)
    assert producer.acknowledged() == stored
    for number in range(3):
        offsets = [record.offset for record in stored if record.partition == number]
        assert offsets == list(range(len(offsets)))
    assert {ack["kind"] for ack in producer.acks()} == {"valid", "duplicate", "invalid"}


def test_while_kafka_is_away_nothing_is_lost(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    producer = Producer(kafka, topic, tmp_path, "--rate", "500")
    producer.runs()
    with kafka.away():
        assert kafka.brokers in producer.hears("acknowledges nothing: waiting")
    assert int(producer.hears("is back").split()[-4]) > 0
    code, output = producer.end(signal.SIGTERM)
    stored = consume(kafka, topic)
    assert (code, accepted(output)) == (0, len(stored))
    assert producer.acknowledged() == stored
    assert len({record.key for record in stored}) == len(stored)


def test_a_clean_stop_waits_for_kafka(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    producer = Producer(kafka, topic, tmp_path, "--rate", "300")
    producer.runs()
    with kafka.away():
        producer.hears("acknowledges nothing: waiting")
        producer.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            producer.process.wait(timeout=2)
    code, output = producer.end()
    assert (code, accepted(output)) == (0, len(consume(kafka, topic)))


def test_a_second_signal_leaves_at_once(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    producer = Producer(kafka, topic, tmp_path, "--rate", "300")
    producer.runs()
    with kafka.away():
        producer.hears("acknowledges nothing: waiting")
        code, output = producer.end(signal.SIGTERM, signal.SIGINT)
    assert code == 1
    assert re.search(r"left at once: [1-9]\d* of \d+ events were not acknowledged", output)


def test_kafka_may_come_later(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with kafka.away():
        producer = Producer(kafka, topic, tmp_path, "--rate", "0", "--count", "50")
        assert kafka.brokers in producer.hears("does not answer: waiting")
    producer.hears("is back")
    code, output = producer.end()
    assert (code, accepted(output), len(consume(kafka, topic))) == (0, 50, 50)


def test_a_stop_before_kafka_answers(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with kafka.away():
        producer = Producer(kafka, topic, tmp_path)
        producer.hears("does not answer: waiting")
        code, output = producer.end(signal.SIGTERM)
    assert (code, accepted(output)) == (0, 0)


def test_sigterm_flushes(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    producer = Producer(kafka, topic, tmp_path, "--rate", "0")
    producer.runs()
    code, output = producer.end(signal.SIGTERM)
    assert (code, accepted(output)) == (0, len(consume(kafka, topic)))


def test_sigkill_leaves_whole_lines(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    producer = Producer(kafka, topic, tmp_path, "--rate", "0")
    producer.runs()
    producer.end(signal.SIGKILL)
    assert set(producer.acknowledged()) <= set(consume(kafka, topic))


def test_a_missing_topic_is_named_and_not_created(kafka: Kafka, tmp_path: Path) -> None:
    code, output = Producer(kafka, "no-such-topic", tmp_path).end()
    assert code == 1
    assert "'no-such-topic' does not exist" in output
    assert "./ws up" in output
    with KafkaAdminClient(bootstrap_servers=kafka.brokers) as admin:
        assert "no-such-topic" not in admin.list_topics()


def test_a_topic_deleted_meanwhile_ends_it(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    producer = Producer(kafka, topic, tmp_path, "--rate", "300")
    producer.runs()
    with KafkaAdminClient(bootstrap_servers=kafka.brokers) as admin:
        admin.delete_topics([topic])
    code, output = producer.end()
    assert code == 1
    assert f"topic '{topic}' does not exist" in output


def test_a_record_too_large_ends_it(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    limit = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "100"})
    with KafkaAdminClient(bootstrap_servers=kafka.brokers) as admin:
        admin.alter_configs([limit])
    code, output = Producer(kafka, topic, tmp_path, "--count", "20").end()
    assert code == 1
    assert "max.message.bytes" in output
    assert consume(kafka, topic) == []
