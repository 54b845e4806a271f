"""The batch layer as tests use it: events sent, and waited for until they are final."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import NamedTuple

from psycopg2.extensions import connection as Connection

from tests.support.oracle import Oracle
from tests.support.progress import is_caught_up
from tests.support.published import arrival_times
from tests.support.stack import Stack, wait_until
from watershed.contracts.model import Contract
from watershed.stack.home import ROOT
from watershed.stores import postgres

INTERVAL_S = 60
ENRICH = "enrich_transaction"
FINAL_WITHIN_S = 480
"""After the start, with all that other tests left; ten minutes are promised."""


class Published(NamedTuple):
    """What is final once the first events are: since when the stack runs, the id that two events
    with different content have, and that of a booking older than every rate."""

    started: datetime
    conflict: str
    rateless: str


def up(stack: Stack) -> str:
    """Start a stack that was stopped, with the batch layer; what ``./ws up`` says."""
    own = {"WATERSHED_BATCH_INTERVAL_S": str(INTERVAL_S), "COLUMNS": "200"}
    return stack.up(batch=True, environment=own)


def alert(connection: Connection, run_id: str) -> str:
    """The one alert of a run."""
    cursor = connection.cursor()
    cursor.execute("SELECT message FROM control.alert WHERE detail->>'run' = %s", [run_id])
    [[message]] = cursor.fetchall()
    return str(message)


def produce(stack: Stack, oracle: Oracle, seconds: int, rate: int = 200) -> None:
    """Send transactions for so long, a share of them repeated or broken."""
    options = ["--rate", rate, "--count", rate * seconds, "--duplicates", 0.05, "--invalid", 0.02]
    where = ["--broker", stack.settings.kafka_brokers, "--ack-log", oracle.log]
    command = [sys.executable, "-m", "producers.transactions", *map(str, [*where, *options])]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=seconds + 60)


def wait_final(stack: Stack, contract: Contract, timeout_s: float) -> None:
    """Wait until everything that Kafka has is stored, and all that is stored is final."""
    wait_until(lambda: is_caught_up(stack), "the stream has caught up")
    last = max(arrival_times(stack, contract).values())
    wait_until(lambda: final_until(stack) > last, f"what arrived by {last} is final", timeout_s)


def final_until(stack: Stack) -> datetime:
    """Up to which arrival time everything is final; the first day of all before it is."""
    with postgres.connect(stack.settings) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT final_until FROM control.stream WHERE type = 'transaction'")
        [found] = cursor.fetchone() or [None]
    return found or datetime.min.replace(tzinfo=UTC)
