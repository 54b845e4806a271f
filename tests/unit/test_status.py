"""A server that is away or silent is named, in a bounded time, and keeps nothing else waiting."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from watershed.asking import ask
from watershed.stack.home import Home
from watershed.status import collect

SERVERS = {"postgres", "kafka", "redis", "cassandra"}
PATIENCE_S = 25  # shorter than kafka-python's own time limit, and than no limit at all


@pytest.fixture(params=["away", "silent"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Where nothing listens, or something that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        if request.param == "away":
            server.close()
        yield number


def test_every_server_that_does_not_answer_is_named(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.open(tmp_path)
    home.prepare()
    monkeypatch.setenv("WATERSHED_KAFKA_BROKERS", f"127.0.0.1:{port}")
    for server in SERVERS - {"kafka"}:
        monkeypatch.setenv(f"WATERSHED_{server.upper()}_PORT", str(port))
    found = ask(lambda: collect(home)).result(PATIENCE_S)
    assert {line.partition(":")[0] for line in found.unavailable} == SERVERS
    assert not found.healthy
