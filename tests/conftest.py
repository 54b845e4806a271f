"""The running stack, shared by live and fault tests: starting one takes most of a minute."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal

import hypothesis
import pytest
import stamina
from xdist.remote import Producer

from tests.support.oracle import Oracle
from tests.support.parts import ORDER, Scheduler, part
from tests.support.postgres import read
from tests.support.progress import is_caught_up
from tests.support.stack import Stack, fresh, home_for_tests, wait_until
from watershed.contracts.load import load_contract
from watershed.contracts.model import Contract
from watershed.operations.audit.tally import ALWAYS
from watershed.speed import cache, flow
from watershed.stack.home import ROOT
from watershed.stores import postgres, redis
from watershed.stores.topics import topic_state

# In the background a shell lets it ignore Ctrl-C, nohup a closed terminal, and all that it starts
# would too: what has a handler here is not ignored there.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
for noisy in ("kafka", "cassandra"):
    logging.getLogger(noisy).setLevel(logging.CRITICAL)
# Code that runs for seconds is not worth optimizing: of a test's CPU that was the larger part.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
stamina.instrumentation.set_on_retry_hooks([])
# How long one example takes says more of what else the machine does; pytest's timeout stands.
hypothesis.settings.register_profile("watershed", deadline=None)
hypothesis.settings.load_profile("watershed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=random.randrange(2**32), help="repeats a run")
    parser.addoption("--kills", type=int, default=50, help="of tests/faults/soak.py")


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed {config.getoption('seed')}: repeat with --seed"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: ORDER.index(part(item.nodeid)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduler:
    return Scheduler(config, log)


@pytest.fixture(scope="session")
def transaction() -> Contract:
    return load_contract(ROOT / "schemas" / "transaction" / "contract.yaml")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A fresh stack that the stream reads and nobody writes to."""
    running = fresh(home_for_tests())
    running.up()
    yield running
    running.destroy()


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """Knows everything that the test run's producers got acknowledged."""
    return Oracle(tmp_path_factory.mktemp("oracle") / "acknowledged.jsonl")


@pytest.fixture
def produce(stack: Stack, oracle: Oracle):  # type: ignore[no-untyped-def]
    """Start the transactions producer with options; those still running are stopped at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "producers.transactions", "--ack-log", oracle.log]
        process = subprocess.Popen(
            [*command, "--broker", stack.settings.kafka_brokers, *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def verify(stack: Stack, oracle: Oracle, transaction: Contract):  # type: ignore[no-untyped-def]
    """Check every store against the oracle once the stream has caught up, and run the audit."""

    def check() -> None:
        wait_until(lambda: is_caught_up(stack), "the stream has caught up")
        oracle.read()
        end = topic_state(stack.settings, "transaction").end
        acknowledged = oracle.offsets()
        assert {p: list(range(n)) for p, n in end.items() if n} == acknowledged
        _check_positions(stack, oracle, transaction)
        audit = stack.audit()
        assert audit["ok"], [one for one in audit["checks"] if not one["ok"]]
        _check_cache(stack, oracle)

    return check


def _check_positions(stack: Stack, oracle: Oracle, transaction: Contract) -> None:
    with postgres.connect(stack.settings) as connection:
        positions = read(connection, flow.positions, transaction)
        sums = read(connection, flow.stored, transaction, ALWAYS)
        cursor = connection.cursor()
        cursor.execute(
            "SELECT sum(stored), sum(quarantined) FROM control.stream_offset"
            " WHERE type = 'transaction'"
        )
        counted = cursor.fetchone()
    expected = oracle.positions()
    assert {p.groups[0]: (p.value, p.events) for p in positions} == expected
    assert sum((s.value for s in sums), Decimal(0)) == sum(value for value, _ in expected.values())
    assert counted == (oracle.valid, oracle.invalid)


def _check_cache(stack: Stack, oracle: Oracle) -> None:
    with redis.connect(stack.settings) as client:
        for branch, expected in oracle.critical().items():
            found = client.zrange(cache.list_key("transaction", branch), 0, -1, desc=True)
            assert found == expected
