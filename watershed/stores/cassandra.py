"""Sessions of Cassandra."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    Session,
)
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import named_tuple_factory

from watershed.settings import Settings

PROTOCOL = 5
OPTIONS = bytes([PROTOCOL, 0, 0, 0, 5, 0, 0, 0, 0])
"""A request frame of CQL's native protocol: version, flags, stream (2), opcode, length (4)."""

CONNECT_TIMEOUT_S = 10
REQUEST_TIMEOUT_S = 30


@contextmanager
def connect(settings: Settings) -> Iterator[Session]:
    """A session in the pipeline's keyspace, closed at the end. Raises NoHostAvailable."""
    password = settings.secret("cassandra_password")
    with _cluster(settings, settings.cassandra_user, password) as cluster:
        yield cluster.connect(settings.cassandra_keyspace)


@contextmanager
def connect_as(settings: Settings, user: str, password: str) -> Iterator[Session]:
    """A session of an administrator's, in no keyspace, closed at the end."""
    with _cluster(settings, user, password) as cluster:
        yield cluster.connect()


@contextmanager
def _cluster(settings: Settings, user: str, password: str) -> Iterator[Cluster]:
    """A cluster whose requests are at LOCAL_QUORUM."""
    policy = TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.cassandra_datacenter))
    profile = ExecutionProfile(
        load_balancing_policy=policy,
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=REQUEST_TIMEOUT_S,
        row_factory=named_tuple_factory,
    )
    cluster = Cluster(
        settings.cassandra_host.split(","),
        port=settings.cassandra_port,
        protocol_version=PROTOCOL,
        connect_timeout=CONNECT_TIMEOUT_S,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        auth_provider=PlainTextAuthProvider(user, password),
    )
    try:
        yield cluster
    finally:
        cluster.shutdown()


def ping(settings: Settings) -> None:
    """Ask for the protocol's options, as anybody may. Raises OSError when no node answers."""
    hosts = settings.cassandra_host.split(",")
    if not any(_speaks(host, settings.cassandra_port) for host in hosts):
        raise ConnectionError(f"nobody speaks CQL at {','.join(hosts)}:{settings.cassandra_port}")


def _speaks(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT_S) as node:
            node.sendall(OPTIONS)
            return bool(node.recv(1))
    except OSError:
        return False
