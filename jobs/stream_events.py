"""The streaming application: every contract's topic into the stores, until it is stopped.

Each query starts from the offsets committed in PostgreSQL, with a checkpoint folder of its own
that is thrown away: the commit is the only truth about progress. When a store is away, the query
is started again with growing pauses. When going on would lose events, its contract waits for the
command that the refusal names; the others go on. Where another application has the lease of a
contract, this one waits for it once, and ends.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from psycopg2.extensions import connection as Connection
from py4j.protocol import Py4JJavaError
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from watershed.caching import CacheWriter
from watershed.contracts.load import load_contracts
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
from watershed.settings import Settings, load_settings
from watershed.spark.batch import BatchWriter, events_of
from watershed.spark.cassandra import close_idle_sessions
from watershed.spark.session import spark_session
from watershed.stores import cassandra, control, flow, history, lease, postgres, versions
from watershed.stores.control import Progress
from watershed.stores.topics import Broker
from watershed.unavailable import UNAVAILABLE

BEAT_S = 1.0
CLOCK_MARGIN = timedelta(seconds=2)
"""A record appended now may have a time that is so much before the probe's: brokers' clocks."""

MAINTAIN_S = 3600.0
PAUSE_S = (1, 2, 4, 8, 15)
REFUSED_PAUSE_S = 5.0
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
        self._refusal: str | None = ""  # not known: another process may have noted one
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
        failures = 0
        while not self._halt.is_set():
            started = time.monotonic()
            try:
                self._stream()
            except TRANSIENT as error:
                if jvm_ended(self._spark):
                    raise SparkEndedError(
                        "Spark's JVM ended", "whoever supervises this process starts it again"
                    ) from error
                close_idle_sessions(self._spark)
                failures = 0 if time.monotonic() - started > PAUSE_S[-1] else failures + 1
                pause = PAUSE_S[min(failures, len(PAUSE_S) - 1)]
                log.warning("%s: again in %s s: %s", self._contract.type, pause, brief(error))
                self._halt.wait(pause)
            except (ProgressError, ContractError, StoreError) as error:
                self._refuse(error)
                self._halt.wait(REFUSED_PAUSE_S)

    def _refuse(self, error: WatershedError) -> None:
        """Say once why the contract does not go on, and keep it where ``./ws status`` looks."""
        if str(error) != self._refusal:
            log.error("%s: %s", self._contract.type, error)
        self._refusal = str(error)
        try:
            with postgres.connect(self._settings) as connection:
                control.refuse(connection, self._contract.type, str(error))
        except UNAVAILABLE as away:
            log.warning("%s: refusal not noted: %s", self._contract.type, brief(away))

    def _stream(self) -> None:
        """Run one query from the committed offsets until it fails or the application stops."""
        with postgres.connect(self._settings) as own:
            epoch = self._take_lease(own)
            if epoch is None:
                return
            try:
                self._stream_under(epoch, own)
            finally:
                if not own.closed:
                    own.rollback()
                    lease.release(own, self._contract.type, epoch)

    def _take_lease(self, connection: Connection) -> int | None:
        """The lease's epoch; None when told to stop. Waits as long as a dead holder's would last.

        Raises LeaseHeldError when its holder lives.
        """
        deadline = time.monotonic() + lease.LEASE_S + BEAT_S
        while not self._halt.is_set():
            if epoch := lease.acquire(connection, self._contract.type, self._holder):
                return epoch
            if time.monotonic() > deadline:
                holder = lease.holder(connection, self._contract.type)
                raise LeaseHeldError(
                    f"{self._contract.type} is streamed by {holder} (host:pid:start)",
                    "end that application, or this one; two would only repeat each other's work",
                )
            self._halt.wait(BEAT_S)
        return None

    def _stream_under(self, epoch: int, own: Connection) -> None:
        with (
            broker_of(self._settings, self._contract) as broker,
            postgres.connect(self._settings) as connection,
            cassandra.connect(self._settings) as session,
        ):
            topic = broker.topic()
            at = control.resume(own, self._contract, topic)
            if versions.check(own, self._contract):
                flow.ensure_tables(own, self._contract)
                cassandra.ensure_tables(self._settings, [self._contract])
            versions.take(own, self._contract, at)
            writer = BatchWriter(
                self._settings, self._contract, topic.generation, epoch, connection, session,
                self._cache, broker,
            )  # fmt: skip
            sink = Sink(writer)
            log.info(
                "%s: reads on from %s", self._contract.type, {p: s.next for p, s in at.items()}
            )
            with scratch(self._settings.scratch_dir) as checkpoint:
                query = self._start(sink, at, checkpoint)
                try:
                    self._watch(query, sink, own, epoch)
                finally:
                    sink.close()
                    query.stop()
        if sink.error or query.exception():
            raise sink.error or query.exception()  # type: ignore[misc]

    def _start(self, sink: Sink, at: dict[int, Progress], checkpoint: str) -> StreamingQuery:
        # Each contract in a pool of its own: a busy topic does not starve a quiet one.
        self._spark.sparkContext.setLocalProperty("spark.scheduler.pool", self._contract.type)
        read = records(self._spark, self._settings, self._contract.topic.name, at)
        return (
            events_of(read, self._contract, at)
            .writeStream.queryName(self._contract.type)
            .foreachBatch(sink)
            .option("checkpointLocation", checkpoint)
            .trigger(processingTime=f"{self._settings.stream_trigger_ms} milliseconds")
            .start()
        )

    def _watch(self, query: StreamingQuery, sink: Sink, own: Connection, epoch: int) -> None:
        """Keep the lease, and the watermarks of partitions that nothing comes in on."""
        maintained = -MAINTAIN_S
        while query.isActive and not self._halt.wait(BEAT_S):
            lease.renew(own, self._contract.type, epoch)
            sink.between_batches(BEAT_S)
            if sink.has_succeeded and self._refusal is not None:
                control.refuse(own, self._contract.type, None)
                self._refusal = None
            if time.monotonic() - maintained > MAINTAIN_S:
                maintained = time.monotonic()
                history.prune(own, self._contract, datetime.now(UTC))


class Sink:
    """Passes batches to a writer, remembers its error, and can be closed between two batches.

    Spark turns an exception in here into text; the one remembered says what to do about it.
    """

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer
        self._busy = threading.Lock()
        self._closed = False
        self.has_succeeded = False
        self.error: Exception | None = None

    def __call__(self, frame: DataFrame, batch_id: int) -> None:
        with self._busy:
            if self._closed:
                return  # the checkpoint may think it is written: it is thrown away
            try:
                self._writer.write(frame, batch_id)
                self.has_succeeded = True
            except Exception as error:
                self.error = error
                raise

    def between_batches(self, timeout_s: float) -> None:
        """Move idle watermarks, unless a batch is under way for longer than ``timeout_s``."""
        if self._busy.acquire(timeout=timeout_s):
            try:
                self._writer.advance_idle(CLOCK_MARGIN)
                self.has_succeeded = True
            finally:
                self._busy.release()

    def close(self) -> None:
        """Let the batch under way end, and take no other."""
        with self._busy:
            self._closed = True


@contextmanager
def broker_of(settings: Settings, contract: Contract) -> Iterator[Broker]:
    """The broker of a contract's topic, left at the end."""
    broker = Broker(settings, contract.topic.name)
    try:
        yield broker
    finally:
        broker.close()


def records(
    spark: SparkSession, settings: Settings, topic: str, at: dict[int, Progress]
) -> DataFrame:
    """The topic's records from the given offsets on, every partition named."""
    offsets = {str(partition): state.next for partition, state in at.items()}
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_brokers)
        .option("subscribe", topic)
        .option("startingOffsets", json.dumps({topic: offsets}))
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", settings.stream_max_events)
        .load()
    )


@contextmanager
def scratch(folder: Path) -> Iterator[str]:
    """A checkpoint folder for one query, gone with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="checkpoint-", dir=folder, ignore_cleanup_errors=True
    ) as path:
        yield path


def jvm_ended(spark: SparkSession) -> bool:
    """Whether the JVM that this process started is gone, as after a lack of memory."""
    process = getattr(spark.sparkContext._gateway, "proc", None)
    return process is not None and process.poll() is not None


def brief(error: Exception) -> str:
    """The first lines of an error; Java's have hundreds."""
    return "\n".join(str(error).splitlines()[:3])


def main() -> int:
    """Run until SIGTERM or SIGINT; exit code 1 with cause and remedy when it cannot go on."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)-7s %(name)s %(message)s")
    for noisy in ("py4j", "kafka", "cassandra"):
        logging.getLogger(noisy).setLevel("ERROR")
    settings = load_settings(arguments=sys.argv[1:])
    contracts = load_contracts(settings.schemas_dir, settings.topics)
    stop = threading.Event()
    spark = spark_session(settings, "stream_events")
    for number in (signal.SIGTERM, signal.SIGINT):  # after Spark, which takes SIGINT for itself
        signal.signal(number, lambda *_: stop.set())
    holder = lease.this_process()
    streams = [ContractStream(spark, settings, one, stop, holder) for one in contracts.values()]
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.join()
    if not jvm_ended(spark):
        spark.stop()
    errors = [stream.error for stream in streams if stream.error]
    for error in errors:
        log.error("%s", error, exc_info=None if isinstance(error, WatershedError) else error)
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
