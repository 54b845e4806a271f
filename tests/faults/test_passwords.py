"""A password changed under the stream: it waits, says why, and goes on when it is right again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from psycopg2 import sql

from tests.support.fault import Load
from tests.support.postgres import read
from tests.support.progress import wait_commits
from tests.support.stack import Stack, wait_until
from watershed.provision.cassandra import ADMIN as CASSANDRA_ADMIN
from watershed.provision.cassandra import ensure_roles
from watershed.provision.postgres import ADMIN, ensure_database
from watershed.speed import heartbeat
from watershed.stores import cassandra, postgres, redis

OTHER = "another-password-0123456789"


@contextmanager
def postgres_refuses(stack: Stack) -> Iterator[None]:
    """The pipeline's role has another password, and no connection left."""
    settings = stack.settings
    secret = settings.secret("postgres_admin_password")
    with postgres.connect(settings, dbname="postgres", user=ADMIN, password=secret) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        role = sql.Identifier(settings.postgres_user)
        cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD %s").format(role), [OTHER])
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
            [settings.postgres_user],
        )
    try:
        yield
    finally:
        ensure_database(settings, ADMIN, secret)


@contextmanager
def cassandra_refuses(stack: Stack) -> Iterator[None]:
    """The pipeline's role has another password, and no connection left: only a kill cuts them."""
    settings = stack.settings
    secret = settings.secret("cassandra_admin_password")
    with cassandra.connect_as(settings, CASSANDRA_ADMIN, secret) as session:
        session.execute(f"ALTER ROLE {settings.cassandra_user} WITH PASSWORD = '{OTHER}'")
    stack.kill("cassandra")
    try:
        yield
    finally:
        ensure_roles(settings, secret)


@contextmanager
def redis_refuses(stack: Stack) -> Iterator[None]:
    """Redis wants another password, and has no connection left but the one that changed it."""
    with redis.connect(stack.settings) as client:
        client.config_set("requirepass", OTHER)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        try:
            yield
        finally:
            client.config_set("requirepass", stack.settings.secret("redis_password"))


def _trouble(stack: Stack) -> str:
    """What the stream fails at again and again."""
    with postgres.connect(stack.settings) as connection:
        return read(connection, heartbeat.read_all)["transaction"].trouble or ""


@pytest.mark.parametrize(
    ("refuses", "error"),
    [
        (postgres_refuses, "password authentication failed"),
        (cassandra_refuses, "Bad credentials"),
        (redis_refuses, "invalid username-password pair"),
    ],
    ids=["postgres", "cassandra", "redis"],
)
def test_wrong_password(
    refuses: Callable[[Stack], AbstractContextManager[None]],
    error: str,
    stack: Stack,
    load: Load,
    verify,
) -> None:
    log = stack.home.log("stream")
    begin = log.stat().st_size
    with load(), refuses(stack):
        wait_until(lambda: error in log.read_text()[begin:], f"the log says: {error}")
        if refuses is redis_refuses:
            wait_commits(stack, 5)
        if refuses is cassandra_refuses:  # PostgreSQL, where it would be noted, is not away
            wait_until(lambda: error in _trouble(stack), f"status says: {error}")
            assert not stack.status()["healthy"]
    verify()
    wait_until(lambda: not _trouble(stack), "status says nothing of it any more")
    assert OTHER not in log.read_text()
