"""One module per program of the local stack, and the list of them all."""

from __future__ import annotations

from watershed.stack.home import Home
from watershed.stack.service import Service
from watershed.stack.services.cassandra import cassandra
from watershed.stack.services.kafka import kafka
from watershed.stack.services.postgres import postgres
from watershed.stack.services.producer import producer
from watershed.stack.services.redis import redis
from watershed.stack.services.stream import stream


def services(home: Home, rate: int) -> list[Service]:
    """Everything `./ws up` runs, in the order in which it is listed; stopped in reverse.

    ``rate`` is the producer's, in events per second; 0 leaves it out.
    """
    always = [f(home) for f in (cassandra, kafka, postgres, redis, stream)]
    return [*always, producer(home, rate)] if rate else always
