"""The streaming application: every contract's topic into the stores, until it is stopped.

Each query starts from the offsets committed in PostgreSQL, with a checkpoint folder of its own
that is thrown away: the commit is the only truth about progress. When a store is away, the query
is started again with growing pauses. When going on would lose events, its contract waits for the
command that the refusal names; the others go on. Where another application has the lease of a
contract, this one waits for it once, and ends.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading

from watershed.contracts.load import load_contracts
from watershed.errors import WatershedError
from watershed.settings import load_settings
from watershed.spark.session import spark_session
from watershed.spark.stream import ContractStream, jvm_ended
from watershed.speed import lease

log = logging.getLogger("watershed.stream")


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
    streams = [
        ContractStream(spark, settings, contract, stop, holder) for contract in contracts.values()
    ]
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
