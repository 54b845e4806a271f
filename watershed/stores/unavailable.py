"""Errors of a server that is away: to be waited for, never blamed on the data."""

from __future__ import annotations

from cassandra import DriverException
from cassandra.cluster import NoHostAvailable
from kafka.errors import KafkaError
from psycopg2 import InterfaceError, OperationalError
from redis.exceptions import RedisError

UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    KafkaError,
    OperationalError,
    InterfaceError,
    RedisError,
    NoHostAvailable,
    DriverException,
)
