"""A server that is away or silent is named, in a bounded time, and keeps nothing else waiting."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from watershed.operations.deadline import ask
from watershed.operations.status import ContractStatus, PipelineStatus, collect
from watershed.stack.home import Home

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
    found = ask(lambda: collect(home.settings())).result(PATIENCE_S)
    assert {line.partition(":")[0] for line in found.unavailable} == SERVERS
    assert not found.healthy


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({}, []),
        ({"heartbeat_s": None}, ["its stream is silent as yet: ./ws logs stream"]),
        ({"heartbeat_s": 75.2}, ["its stream is silent for 75 s: ./ws logs stream"]),
        ({"trouble": "NoNodeAvailable"}, ["fails again and again: NoNodeAvailable"]),
        ({"refusal": "a hole\n  -> ./ws repair holes"}, ["a hole\n  -> ./ws repair holes"]),
    ],
)
def test_a_contract_says_why_it_does_not_get_on(said: dict[str, Any], faults: list[str]) -> None:
    known: dict[str, Any] = {"heartbeat_s": 1.0, "refusal": None, "trouble": None} | said
    found = ContractStatus("transaction", 7, known["heartbeat_s"], 0, 0.0, [],
                           known["refusal"], known["trouble"])  # fmt: skip
    assert found.faults == faults
    assert PipelineStatus([found]).healthy == (not faults)
