"""One module per program of the local stack, and the list of them all."""

from __future__ import annotations

from watershed.stack.home import Home
from watershed.stack.service import Service
from watershed.stack.services.airflow import API, DAG_PROCESSOR, SCHEDULER, TRIGGERER, airflow
from watershed.stack.services.cassandra import cassandra
from watershed.stack.services.kafka import kafka
from watershed.stack.services.mariadb import mariadb
from watershed.stack.services.postgres import postgres
from watershed.stack.services.producer import producer
from watershed.stack.services.redis import redis
from watershed.stack.services.stream import stream

SPEED = ("cassandra", "kafka", "postgres", "redis", "stream", "producer")
"""The speed layer's services."""

BATCH = ("mariadb", API, SCHEDULER, DAG_PROCESSOR, TRIGGERER)
"""The batch layer's services; without them the speed layer goes on alone."""


def services(home: Home, rate: int, *, batch: bool = False) -> list[Service]:
    """Everything `./ws up` runs, in the order in which it is listed; stopped in reverse.

    ``rate`` is the producer's, in events per second; 0 leaves it out. ``batch`` is whether the
    batch layer runs too.
    """
    speed = [service(home) for service in (cassandra, kafka, postgres, redis, stream)]
    if rate and (made_up := producer(home, rate)):
        speed.append(made_up)
    return [*speed, mariadb(home), *airflow(home)] if batch else speed
