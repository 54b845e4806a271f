"""The streaming application, one process for every contract."""

from __future__ import annotations

import sys
import time

from watershed.contracts.load import load_contracts
from watershed.speed import heartbeat
from watershed.stack.home import ROOT, Home
from watershed.stack.service import Service
from watershed.stack.spark import spark_environment
from watershed.stores.postgres import connect, transaction


def stream(home: Home) -> Service:
    """``jobs/stream_events.py``; ready once each contract's query has reported itself."""
    started = [time.time()]

    def prepare() -> None:
        started[:] = [time.time()]

    def ready() -> bool:
        settings = home.settings()
        with connect(settings) as connection, transaction(connection) as cursor:
            beats = {name: beat.at for name, beat in heartbeat.read_all(cursor).items()}
        types = load_contracts(settings.schemas_dir, settings.topics)
        return all((at := beats.get(name)) and at.timestamp() > started[0] for name in types)

    return Service(
        "stream",
        (sys.executable, str(ROOT / "jobs" / "stream_events.py")),
        ready,
        prepare=prepare,
        needs=("cassandra", "kafka", "postgres"),
        env=spark_environment(),
        stop_timeout_s=60,
    )
