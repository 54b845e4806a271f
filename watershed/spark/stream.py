"""Runs one contract's query under its lease; starts it again after a fault."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from psycopg2.extensions import connection as Connection
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, StreamingQueryException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from watershed.contracts.model import Contract
from watershed.errors import (
    ContractError,
    LeaseHeldError,
    OvertakenError,
    ProgressError,
    SparkEndedError,
    StoreError,
    WatershedError,
)
from watershed.provision.cassandra import ensure_tables
from watershed.settings import Settings
from watershed.spark.batch import BatchWriter
from watershed.spark.cassandra import renew_session
from watershed.spark.query import scratch, start
from watershed.spark.sink import Sink
from watershed.speed import contract_versions, flow, heartbeat, lease, progress, retention
from watershed.speed.cache_writer import CacheWriter
from watershed.stores import postgres
from watershed.stores.clients import open_clients
from watershed.stores.topics import Broker
from watershed.stores.unavailable import UNAVAILABLE

BEAT_S = 1.0
MAINTAIN_S = 3600.0
PAUSE_S = (1, 2, 4, 8, 15)
REFUSED_PAUSE_S = 5.0
TROUBLED_TRIES = 3
"""So many tries in a row fail before somebody is told: a restarted server costs one or two."""

TRANSIENT = (*UNAVAILABLE, Py4JJavaError, StreamingQueryException, OvertakenError)

log = logging.getLogger("watershed.stream")


class ContractStream(threading.Thread):
    """One contract's query, started again whenever it ends by a fault of something else."""

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        contract: Contract,
        stop: threading.Event,
        holder: str,
    ) -> None:
        super().__init__(name=f"stream-{contract.type}")
        self._spark = spark
        self._settings = settings
        self._contract = contract
        self._halt = stop
        self._holder = holder
        self._cache = CacheWriter(settings, contract)
        self._refusal = ""
        self._has_noted = True  # another process may have
        self._failures = 0  # since the last success
        self.error: Exception | None = None

    def run(self) -> None:
        self._cache.start()
        try:
            self._keep_streaming()
        except Exception as error:  # nothing may end one stream and leave the others running
            self.error = error
            self._halt.set()
        finally:
            self._cache.stop()

    def _keep_streaming(self) -> None:
        while not self._halt.is_set():
            try:
                self._stream()
            except TRANSIENT as error:
                if jvm_ended(self._spark):
                    raise SparkEndedError(
                        "Spark's JVM ended", "whoever supervises this process starts it again"
                    ) from error
                renew_session(self._spark)
                pause = PAUSE_S[min(self._failures, len(PAUSE_S) - 1)]
                self._failures += 1
                log.warning("%s: again in %s s: %s", self._contract.type, pause, brief(error))
                if self._failures >= TROUBLED_TRIES:
                    self._note(heartbeat.note_trouble, brief(error))
                self._halt.wait(pause)
            except (ProgressError, ContractError, StoreError) as error:
                self._refuse(error)
            except AnalysisException as error:
                self._refuse(unplanned(self._contract, error))

    def _refuse(self, error: WatershedError) -> None:
        """Say once why the contract does not go on, and pause."""
        if str(error) != self._refusal:
            log.error("%s: %s", self._contract.type, error)
        self._refusal = str(error)
        self._note(heartbeat.note_refusal, str(error))
        self._halt.wait(REFUSED_PAUSE_S)

    def _note(self, note: Callable[[Connection, str, str], None], what: str) -> None:
        """Keep it where ``./ws status`` looks, until a batch is written again."""
        self._has_noted = True
        try:
            with postgres.connect(self._settings) as connection:
                note(connection, self._contract.type, what)
        except UNAVAILABLE as away:
            log.warning("%s: not noted: %s", self._contract.type, brief(away))

    def _stream(self) -> None:
        """Run one query from the committed offsets until it fails or the application stops."""
        with postgres.connect(self._settings) as own:
            epoch = self._acquire_lease(own)
            if epoch is None:
                return
            try:
                self._stream_under(epoch, own)
            finally:
                if not own.closed:
                    own.rollback()
                    lease.release(own, self._contract.type, epoch)

    def _acquire_lease(self, connection: Connection) -> int | None:
        """The lease's epoch; None when told to stop. Waits as long as a dead holder's would last.

        Raises LeaseHeldError when its holder lives.
        """
        deadline = time.monotonic() + lease.LEASE_S + BEAT_S
        while not self._halt.is_set():
            if epoch := lease.acquire(connection, self._contract.type, self._holder):
                return epoch
            if time.monotonic() > deadline:
                with postgres.transaction(connection) as cursor:
                    holder = lease.holder(cursor, self._contract.type)
                raise LeaseHeldError(
                    f"{self._contract.type} is streamed by {holder} (host:pid:start)",
                    "end that application, or this one; two would only repeat each other's work",
                )
            self._halt.wait(BEAT_S)
        return None

    def _stream_under(self, epoch: int, own: Connection) -> None:
        with (
            broker_of(self._settings, self._contract) as broker,
            open_clients(self._settings) as clients,
        ):
            topic = broker.topic()
            at = progress.resume(own, self._contract, topic)
            self._ensure_tables(own)
            contract_versions.adopt(own, self._contract, at)
            self._cache.start_anew()
            writer = BatchWriter(
                clients, self._contract, topic.topic_id, epoch, self._cache, broker
            )
            sink = Sink(writer)
            log.info(
                "%s: reads on from %s", self._contract.type, {p: s.next for p, s in at.items()}
            )
            with scratch(self._settings.scratch_dir) as checkpoint:
                query = start(self._spark, self._settings, self._contract, sink, at, checkpoint)
                try:
                    self._watch(query, sink, own, epoch)
                finally:
                    sink.close()
                    query.stop()
        if sink.error or query.exception():
            raise sink.error or query.exception()  # type: ignore[misc]

    def _ensure_tables(self, own: Connection) -> None:
        """Make the columns of a new version of the contract."""
        with postgres.transaction(own) as cursor:
            is_new = contract_versions.check(cursor, self._contract)
            if is_new:
                flow.ensure_tables(cursor, self._contract)
        if is_new:
            ensure_tables(self._settings, [self._contract])

    def _watch(self, query: StreamingQuery, sink: Sink, own: Connection, epoch: int) -> None:
        """Keep the lease, and the watermarks of partitions that nothing comes in on."""
        maintained = -MAINTAIN_S
        while query.isActive and not self._halt.wait(BEAT_S):
            lease.renew(own, self._contract.type, epoch)
            sink.between_batches(BEAT_S)
            if sink.has_succeeded:
                self._failures, self._refusal = 0, ""
                if self._has_noted:
                    heartbeat.clear(own, self._contract.type)
                    self._has_noted = False
            if time.monotonic() - maintained > MAINTAIN_S:
                maintained = time.monotonic()
                retention.prune(own, self._contract, datetime.now(UTC))


@contextmanager
def broker_of(settings: Settings, contract: Contract) -> Iterator[Broker]:
    """The broker of a contract's topic, left at the end."""
    broker = Broker(settings, contract.topic.name)
    try:
        yield broker
    finally:
        broker.close()


def jvm_ended(spark: SparkSession) -> bool:
    """Whether the JVM that this process started is gone, as after a lack of memory."""
    process = getattr(spark.sparkContext._gateway, "proc", None)
    return process is not None and process.poll() is not None


def brief(error: Exception) -> str:
    """The first lines of an error; Java's have hundreds."""
    return "\n".join(str(error).splitlines()[:3])


def unplanned(contract: Contract, error: AnalysisException) -> ContractError:
    """What Spark's planner says of a contract that reads well and cannot be run."""
    return ContractError(
        f"contract {contract.type}: Spark cannot run it: {str(error).splitlines()[0]}",
        "correct its critical rule (docs/contracts.md says what it may use); ./ws down, ./ws up",
    )
