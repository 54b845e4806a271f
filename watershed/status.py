"""Is it keeping up? One look at every server and at each contract's partitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg2
from psycopg2.extensions import connection as Connection
from redis.exceptions import RedisError

from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.settings import Settings
from watershed.stack.home import Home
from watershed.stack.processes import memory_bytes
from watershed.stack.state import read_state, running
from watershed.stores import cache, control, postgres
from watershed.stores.control import Progress
from watershed.stores.topics import TopicState, record_time, topic_state
from watershed.unavailable import UNAVAILABLE

MB = 2**20
UNREADABLE: tuple[type[Exception], ...] = (*UNAVAILABLE, psycopg2.Error, StoreError)
RATE_WINDOW_S = 30
HEARTBEAT_MAX_S = 15  # it beats every second, also between two tries after a fault


@dataclass(frozen=True)
class ServiceStatus:
    """One process of the local stack; memory is its proportional set size."""

    name: str
    status: str
    pid: int | None
    restarts: int
    memory_mb: int


@dataclass(frozen=True)
class PartitionStatus:
    """One Kafka partition. ``lag_s`` is the age of its oldest record that is not committed."""

    partition: int
    produced: int
    stored: int
    quarantined: int
    skipped: int
    lag_events: int
    lag_s: float
    watermark: datetime | None


@dataclass(frozen=True)
class ContractStatus:
    """One contract; ``cache_behind`` counts commits that the cache does not have yet.

    ``heartbeat_s`` is how long ago its query said that it lives, None if it never did;
    ``refusal`` is why it does not go on, with the command that repairs it.
    """

    type: str
    sequence: int
    heartbeat_s: float | None
    cache_behind: int | None
    events_per_s: float
    partitions: list[PartitionStatus]
    refusal: str | None = None

    @property
    def lag_events(self) -> int:
        return sum(partition.lag_events for partition in self.partitions)

    @property
    def lag_s(self) -> float:
        return max((partition.lag_s for partition in self.partitions), default=0.0)


@dataclass(frozen=True)
class Status:
    """The whole stack; ``unavailable`` says which store did not answer, and so what is missing."""

    running: bool
    error: str
    services: list[ServiceStatus]
    contracts: list[ContractStatus] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether everything runs and answers, and every query says that it lives."""
        ready = all(service.status == "ready" for service in self.services)
        alive = all(
            contract.heartbeat_s is not None
            and contract.heartbeat_s < HEARTBEAT_MAX_S
            and contract.refusal is None
            for contract in self.contracts
        )
        return self.running and ready and alive and not self.unavailable

    @property
    def memory_mb(self) -> int:
        return sum(service.memory_mb for service in self.services)


def collect(home: Home) -> Status:
    """Look at everything now; what does not answer is named instead of raised."""
    settings = home.settings()
    state = read_state(home)
    status = Status(running(home), state.error if state else "", _services(home))
    for contract in load_contracts(settings.schemas_dir, settings.topics).values():
        try:
            status.contracts.append(_contract(settings, contract))
        except UNREADABLE as error:
            status.unavailable.append(f"{contract.type}: {str(error).splitlines()[0]}")
    return status


def flows(settings: Settings) -> bool:
    """Whether an event of every contract has gone all the way, through every store to the cache."""
    types = load_contracts(settings.schemas_dir, settings.topics)
    try:
        with postgres.connect(settings) as connection, cache.connect(settings) as client:
            return all(
                control.sequence(connection, name) > 0 and cache.cached_sequence(client, name) > 0
                for name in types
            )
    except UNAVAILABLE:
        return False


def _services(home: Home) -> list[ServiceStatus]:
    state = read_state(home)
    if state is None:
        return []
    alive = running(home)
    return [
        ServiceStatus(
            name,
            one.status if alive else "stopped",
            one.pid if alive else None,
            one.restarts,
            memory_bytes(one.pid) // MB if alive and one.pid else 0,
        )
        for name, one in state.services.items()
    ]


def _contract(settings: Settings, contract: Contract) -> ContractStatus:
    with postgres.connect(settings) as connection:
        # Progress first: Kafka's end is then never behind what is committed.
        sequence = control.sequence(connection, contract.type)
        generation = control.generation(connection, contract.type)
        progress = control.progress(connection, contract.type, generation) if generation else {}
        rate = _rate(connection, contract)
        now = datetime.now(UTC)
        beat = control.heartbeats(connection).get(contract.type)
        refusal = control.refusal(connection, contract.type)
    topic = topic_state(settings, contract.topic.name)
    current = progress if topic.generation == generation else {}  # a re-created topic: refused
    partitions = [_partition(settings, topic, p, state, now) for p, state in current.items()]
    behind = _cache_behind(settings, contract, sequence)
    silent = round((now - beat).total_seconds(), 1) if beat else None
    return ContractStatus(contract.type, sequence, silent, behind, rate, partitions, refusal)


def _partition(
    settings: Settings, topic: TopicState, partition: int, state: Progress, now: datetime
) -> PartitionStatus:
    lag = topic.end[partition] - state.next
    age = 0.0
    if lag > 0:
        oldest = record_time(settings, topic.name, partition, state.next)
        age = max(0.0, (now - oldest).total_seconds())
    return PartitionStatus(
        partition,
        topic.end[partition],
        state.stored,
        state.quarantined,
        state.skipped,
        lag,
        round(age, 1),
        state.watermark,
    )


def _rate(connection: Connection, contract: Contract) -> float:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT coalesce(sum(stored + quarantined), 0) FROM control.stream_batch WHERE type = %s"
        " AND committed_at > clock_timestamp() - make_interval(secs => %s)",
        [contract.type, RATE_WINDOW_S],
    )
    return round(float(cursor.fetchone()[0]) / RATE_WINDOW_S, 1)  # type: ignore[index]


def _cache_behind(settings: Settings, contract: Contract, sequence: int) -> int | None:
    try:
        with cache.connect(settings) as client:
            return max(0, sequence - cache.cached_sequence(client, contract.type))
    except RedisError:
        return None  # shown as "away": the stream does not need it
