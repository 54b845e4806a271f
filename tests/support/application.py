"""A second streaming application on the stack's servers, with event types of its own.

What a test does to a topic, to PostgreSQL or to the application then concerns no other test.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from kafka import KafkaProducer
from kafka.admin import NewTopic

from tests.support.postgres import read
from tests.support.stack import Stack, wait_until
from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.operations.audit.audit import audit
from watershed.provision.cassandra import ensure_tables as ensure_cassandra_tables
from watershed.provision.postgres import ensure_tables
from watershed.provision.topics import ensure_topics
from watershed.settings import Settings
from watershed.speed import heartbeat, progress
from watershed.speed.progress import Progress
from watershed.stack.home import ROOT
from watershed.stack.processes import END_TIMEOUT_S, environment
from watershed.stack.services.stream import stream
from watershed.stores import cassandra, postgres
from watershed.stores.topics import admin, topic_state

TEMPLATE = ROOT / "schemas" / "transaction" / "contract.yaml"


@dataclass(frozen=True)
class Application:
    """Event types in a folder, the stores for them, and how to look at what became of events."""

    stack: Stack
    settings: Settings

    def contract(self, event_type: str) -> Contract:
        return load_contracts(self.settings.schemas_dir)[event_type]

    @contextmanager
    def running(self, name: str) -> Iterator[subprocess.Popen[str]]:
        """Run the streaming application; ended at the end, whatever state it is in."""
        service = stream(self.stack.home)
        own = {
            "WATERSHED_SCHEMAS_DIR": str(self.settings.schemas_dir),
            "WATERSHED_SCRATCH_DIR": str(self.settings.schemas_dir.parent / f"scratch-{name}"),
            "WATERSHED_SPARK_UI_PORT": "0",
        }
        process = subprocess.Popen(
            service.command,
            env=environment(self.stack.home) | service.env | own,
            cwd=ROOT,
            stdout=(self.settings.schemas_dir.parent / f"{name}.log").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(2 * END_TIMEOUT_S)

    def has_started(self) -> bool:
        """Whether each contract's query has said that it lives."""
        with postgres.connect(self.settings) as connection:
            heartbeats = read(connection, heartbeat.read_all)
        lively = {name for name, beat in heartbeats.items() if beat.at}
        return lively >= load_contracts(self.settings.schemas_dir).keys()

    def log(self, name: str) -> str:
        return (self.settings.schemas_dir.parent / f"{name}.log").read_text()

    def send(self, event_type: str, *amounts: str, **place: Any) -> None:
        """Send events of these amounts.

        ``partition``, ``timestamp_ms`` (Kafka's) and ``event_time_ms`` may be given.
        """
        sent_ms = place.get("timestamp_ms", time.time() * 1000)
        event_time_s = place.pop("event_time_ms", sent_ms) / 1000
        producer = KafkaProducer(bootstrap_servers=self.settings.kafka_brokers)
        for amount in amounts:
            event = self.event(amount, event_time_s)
            value, key = json.dumps(event).encode(), event["transaction_id"].encode()
            producer.send(event_type, value, key=key, **place).get(timeout=20)
        producer.close()

    def event(self, amount: str, event_time_s: float) -> dict[str, str]:
        """One event in roubles."""
        event_time = datetime.fromtimestamp(event_time_s, UTC).isoformat(timespec="milliseconds")
        return {
            "transaction_id": str(uuid4()),
            "event_time": event_time,
            "branch": "Kazan",
            "currency": "RUB",
            "amount": amount,
        }

    def progress(self, event_type: str) -> dict[int, Progress]:
        """The partitions of the topic whose offsets are committed."""
        with postgres.connect(self.settings) as connection:
            return read(connection, progress.read_current, event_type)

    def watermark(self, event_type: str) -> datetime | None:
        """The contract's watermark."""
        return progress.watermark(self.progress(event_type))

    def refusal(self, event_type: str) -> str:
        with postgres.connect(self.settings) as connection:
            return read(connection, heartbeat.read_all)[event_type].refusal or ""

    def rows(self, event_type: str) -> list[Any]:
        """Every raw row."""
        with cassandra.connect(self.settings) as session:
            return list(session.execute(f"SELECT * FROM events.{event_type}"))

    def position(self, event_type: str) -> str:
        """The position in RUB: its sum and count."""
        found = self.query(
            f"SELECT concat(batch_value, ' in ', event_count) FROM speed.{event_type}_position"
        )
        return found[0][0] if found else ""

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with postgres.connect(self.settings) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def wait_committed(self, event_type: str) -> None:
        """Wait until everything in the topic is committed."""
        wait_until(lambda: self._is_committed(event_type), f"{event_type} is committed", 60)

    def _is_committed(self, event_type: str) -> bool:
        topic = topic_state(self.settings, event_type)
        with postgres.connect(self.settings) as connection:
            states = read(connection, progress.read, event_type, topic.topic_id)
        return {partition: state.next for partition, state in states.items()} == topic.end

    def wait_refused(self, event_type: str, command: str) -> str:
        """Wait until the contract is refused with this command as its remedy; the refusal."""
        found: list[str] = []

        def is_refused() -> bool:
            found[:] = [self.refusal(event_type)]
            return f"./ws {command}" in found[0]

        wait_until(is_refused, f"{event_type} is refused: {command}")
        return found[0]

    def verify(self, event_type: str) -> None:
        """Audit one event type once everything is committed."""
        self.wait_committed(event_type)
        found = audit(
            self.settings, self.contract(event_type), None, datetime.now(UTC), lambda *_: None
        )
        assert [one for one in found[1] if not one.ok] == []

    def ws(self, *arguments: str) -> str:
        """Run a command of ``./ws`` with these event types."""
        schemas = {"WATERSHED_SCHEMAS_DIR": str(self.settings.schemas_dir)}
        done = self.stack.ws(*arguments, check=False, environment=schemas)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def operations(self, event_type: str) -> list[str]:
        """The commands that operators gave, in order."""
        return [row[0] for row in self.query(
            f"SELECT command FROM control.operator_log WHERE type = '{event_type}' ORDER BY id"
        )]  # fmt: skip


def application(stack: Stack, folder: Path, *types: str, create_time: bool = False) -> Application:
    """Declare event types like ``transaction``, with topics and tables of their own; no report.

    ``create_time``: Kafka believes the producer's timestamps, so that a test can be the clock.
    """
    for name in types:
        text, _, _ = TEMPLATE.read_text().partition("\n# The batch layer")
        text = text.replace("type: transaction\n", f"type: {name}\n", 1)
        text = text.replace("name: transaction\n", f"name: {name}\n", 1)
        (folder / "schemas" / name).mkdir(parents=True, exist_ok=True)
        (folder / "schemas" / name / "contract.yaml").write_text(text)
    settings = stack.settings.model_copy(update={"schemas_dir": folder / "schemas"})
    contracts = [load_contracts(settings.schemas_dir)[name] for name in types]
    if create_time:
        with admin(settings) as client:
            config = {"message.timestamp.type": "CreateTime"}
            new = [NewTopic(n, num_partitions=3, replication_factor=1, topic_configs=config)
                   for n in types]  # fmt: skip
            client.create_topics(new, wait_for_metadata=True)
    ensure_topics(settings, contracts)
    ensure_tables(settings, contracts)
    ensure_cassandra_tables(settings, contracts)
    return Application(stack, settings)
