"""What a producer accepted reaches Kafka, neither lost nor repeated."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import (
    AuthorizationError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NoError,
    RecordListTooLargeError,
    RetriableError,
    UnknownTopicOrPartitionError,
    for_code,
)

from watershed.errors import WatershedError
from watershed.producer.ack_log import AckLog, Record
from watershed.producer.signals import Stop
from watershed.stores.reachable import listens

# kafka-python has no buffer.memory: its accumulator grows until the process dies, so the bound is
# here. A waiting record was measured to cost 1.5 KiB beside its bytes (futures, callbacks).
BUFFER_BYTES = 32 * 1024 * 1024
RECORD_OVERHEAD_BYTES = 1536

STALL_S = 3.0
TICK_S = 1.0
CLOSE_S = 5.0

CHECK_SETTINGS: dict[str, Any] = {"request_timeout_ms": 1500, "reconnect_backoff_max_ms": 1000}
SETTINGS: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "compression_type": "gzip",
    "linger_ms": 10,
    "batch_size": 128 * 1024,
    # Never give up on a record that was accepted; how many there are is bounded above.
    "delivery_timeout_ms": float("inf"),
    # Limits only the wait for metadata inside send(), which is then repeated.
    "max_block_ms": 1000,
    # The default of 30 s would leave a returned broker unused for as long.
    "reconnect_backoff_max_ms": 1000,
    "metrics_enabled": False,
}

MISSING_TOPIC = "`./ws up` creates the topic; or name another one with --topic"
REMEDIES: dict[type[Exception], str] = {
    MessageSizeTooLargeError: "send smaller records, or raise the topic's max.message.bytes",
    RecordListTooLargeError: "send smaller records, or raise the topic's max.message.bytes",
    UnknownTopicOrPartitionError: MISSING_TOPIC,
    InvalidTopicError: "a topic's name has up to 249 letters, digits, '.', '_' and '-'",
    AuthorizationError: "allow this client to write to the topic (WRITE and IDEMPOTENT_WRITE)",
    OSError: "free or unlock the place of the acknowledgement log, then start again",
}


def say(text: str) -> None:
    """Print one line for the operator to stderr."""
    print(text, file=sys.stderr, flush=True)


class Delivery:
    """Records on their way to one topic: accepted, then acknowledged or failed.

    The main thread accepts and waits; kafka-python's sender thread reports. Constructing does
    not connect.
    """

    def __init__(self, broker: str, topic: str, ack_log: AckLog | None = None) -> None:
        self.broker, self.topic, self.stop = broker, topic, Stop()
        self.accepted = self.acknowledged = self.failed = 0
        self.failure: Exception | None = None
        self._servers = broker.split(",")
        self._clients = contextlib.ExitStack()
        self._ack_log = ack_log
        self._lock = threading.Lock()
        self._buffered_bytes = 0
        self._progress_at = 0.0
        self._away = self._asleep = False

    @property
    def pending(self) -> int:
        """Records accepted that Kafka has neither acknowledged nor refused."""
        return self.accepted - self.acknowledged - self.failed

    def connect(self) -> bool:
        """Wait until Kafka answers; False when asked to stop before it did.

        Raises WatershedError when the topic does not exist or may not be seen.
        """
        while not self.stop.requested:
            # kafka-python leaks a thread or a socket for each client that finds no broker.
            if any(map(listens, self._servers)) and self._open():
                self._say_back(0)
                return True
            self._say_away("does not answer")
            self.stop.sleep(TICK_S)
        return False

    def wait_until(self, due: float) -> bool:
        """Wait for the monotonic time ``due``; False when it is time to end instead."""
        while not self._ending() and (left := due - monotonic()) > 0:
            self.stop.sleep(min(left, TICK_S))
            self._watch()
        return not self._ending()

    def accept(self, record: Record) -> None:
        """Take one record over; waits while the buffer is full.

        Raises WatershedError when the topic has disappeared.
        """
        self._wait_for(lambda: self._buffered_bytes < BUFFER_BYTES or self._ending())
        with self._lock:
            if not self.pending:
                self._progress_at = monotonic()
            self.accepted += 1
            self._buffered_bytes += _cost_bytes(record)
        while not self._send(record):
            self._watch()

    def drain(self) -> None:
        """Wait until nothing is pending, then close.

        Raises WatershedError when Kafka refused a record for good.
        """
        self._wait_for(lambda: not self.pending)
        self._clients.close()
        if self.failure:
            raise self._refusal(self.failure)

    def abandon(self) -> None:
        """Leave the process at once with exit code 1, saying what was not acknowledged."""
        # Neither print nor sys.exit: a signal may have come in the middle of one, and
        # kafka-python's exit hook would wait for the broker.
        text = f"left at once: {self.pending} of {self.accepted} events were not acknowledged\n"
        os.write(sys.stderr.fileno(), text.encode())
        os._exit(1)

    def _open(self) -> bool:
        try:
            admin = KafkaAdminClient(bootstrap_servers=self._servers, **CHECK_SETTINGS)
            self._admin = self._clients.enter_context(admin)
            self._check_topic()
            self._producer = KafkaProducer(bootstrap_servers=self._servers, **SETTINGS)
            self._clients.callback(self._producer.close, timeout=CLOSE_S)
        except RetriableError:
            return False
        except KafkaError as error:
            raise self._refusal(error) from error
        return True

    def _ending(self) -> bool:
        return self.stop.requested or self.failure is not None

    def _send(self, record: Record) -> bool:
        try:
            future = self._producer.send(self.topic, key=record.key, value=record.value)
        except KafkaTimeoutError:
            return False
        except KafkaError as error:
            self._refused(record, error)
            return True
        future.add_callback(self._delivered, record).add_errback(self._refused, record)
        return True

    def _delivered(self, record: Record, metadata: Any) -> None:
        if self._away:
            self._say_back(self.pending)
        if self._ack_log:
            try:
                self._ack_log.write(record, metadata.partition, metadata.offset, metadata.timestamp)
            except OSError as error:
                self.failure = self.failure or error
        with self._lock:
            self.acknowledged += 1
            self._finished(record)

    def _refused(self, record: Record, error: Exception) -> None:
        with self._lock:
            self.failure = self.failure or error
            self.failed += 1
            self._finished(record)

    def _finished(self, record: Record) -> None:
        self._buffered_bytes -= _cost_bytes(record)
        self._progress_at = monotonic()
        if self._asleep:
            self._asleep = False
            self.stop.wake()

    def _wait_for(self, ready: Callable[[], bool]) -> None:
        # Before each look: an acknowledgement that comes after the look then wakes the sleep.
        self._asleep = True
        while not ready():
            self.stop.sleep(TICK_S)
            self._watch()
            self._asleep = True
        self._asleep = False

    def _watch(self) -> None:
        if self.pending and monotonic() - self._progress_at > STALL_S:
            self._say_away("acknowledges nothing")
            # No answer was just said; but a deleted topic would be waited for without end.
            with contextlib.suppress(RetriableError):
                self._check_topic()

    def _check_topic(self) -> None:
        # Not by the producer: kafka-python 3.0.12 ignores its allow_auto_create_topics=False,
        # so to ask could create the topic.
        error = for_code(self._admin.describe_topics([self.topic])[0]["error_code"])
        if error is UnknownTopicOrPartitionError:
            cause = f"topic {self.topic!r} does not exist at {self.broker}"
            raise WatershedError(cause, MISSING_TOPIC)
        if error is not NoError and not issubclass(error, RetriableError):
            raise self._refusal(error())

    def _refusal(self, error: Exception) -> WatershedError:
        remedy = next((text for kind, text in REMEDIES.items() if isinstance(error, kind)), "")
        lost = f"; {self.failed} of {self.accepted} events were refused" if self.failed else ""
        reason = f"{type(error).__name__}: {getattr(error, 'description', None) or error}"
        cause = f"topic {self.topic!r} at {self.broker}: {reason}{lost}"
        return WatershedError(cause, remedy or "look into the log of the broker")

    def _say_away(self, how: str) -> None:
        if not self._away:
            self._away = True
            say(f"Kafka at {self.broker} {how}: waiting, {self.pending} events are kept")

    def _say_back(self, waiting: int) -> None:
        if self._away:
            self._away = False
            say(f"Kafka at {self.broker} is back: {waiting} events were waiting")


def _cost_bytes(record: Record) -> int:
    """Memory it takes, in bytes, until it is acknowledged."""
    return len(record.key) + len(record.value) + RECORD_OVERHEAD_BYTES
