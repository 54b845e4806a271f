"""Kafka's client, where no broker is needed to see what it does."""

from __future__ import annotations

import socket

import pytest
from kafka.errors import KafkaConnectionError

from watershed.settings import load_settings
from watershed.stores.topics import admin


def test_a_broker_that_is_away_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    settings = load_settings(None, [f"--kafka-brokers={address}"])
    with (
        pytest.raises(KafkaConnectionError, match=f"nothing listens at {address}"),
        admin(settings),
    ):
        pass
