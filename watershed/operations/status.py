"""``./ws status``: every server, and how far each contract's partitions are."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic

import psycopg2

from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.operations.deadline import Answer, ask
from watershed.operations.lag import PartitionStatus, lags
from watershed.operations.readiness import LOOK_S, cached_sequence
from watershed.operations.report_status import ReportStatus, report_status
from watershed.settings import Settings
from watershed.speed import heartbeat, progress, time_index
from watershed.speed.heartbeat import Heartbeat
from watershed.speed.progress import Progress
from watershed.stores import cassandra, postgres
from watershed.stores.topics import topic_state
from watershed.stores.unavailable import UNAVAILABLE

UNREADABLE: tuple[type[Exception], ...] = (*UNAVAILABLE, psycopg2.Error, StoreError)
RATE_WINDOW_S = 30
STORES_S = 2.5  # what a store that is asked before Kafka may take of it
HEARTBEAT_MAX_S = 15  # it beats every second while it streams, every five while it is refused


@dataclass(frozen=True)
class ContractStatus:
    """One contract; ``cache_behind`` counts commits that the cache does not have yet.

    ``heartbeat_s`` is how long ago its query said that it lives, None if it never did;
    ``refusal`` is why it does not go on, with the command that repairs it, ``trouble`` what makes
    it fail again and again; ``report`` is None where the contract has no report.
    """

    type: str
    sequence: int
    heartbeat_s: float | None
    cache_behind: int | None
    events_per_s: float
    partitions: list[PartitionStatus]
    refusal: str | None = None
    trouble: str | None = None
    report: ReportStatus | None = None

    @property
    def alive(self) -> bool:
        """Whether its query said so just now."""
        return self.heartbeat_s is not None and self.heartbeat_s < HEARTBEAT_MAX_S

    @property
    def faults(self) -> list[str]:
        """Why it does not get on, a line each."""
        silence = "as yet" if self.heartbeat_s is None else f"for {self.heartbeat_s:,.0f} s"
        found = [] if self.alive else [f"its stream is silent {silence}: ./ws logs stream"]
        if self.trouble:
            found.append(f"fails again and again: {self.trouble}")
        return [*found, *([self.refusal] if self.refusal else [])]

    @property
    def lag_events(self) -> int:
        return sum(partition.lag_events for partition in self.partitions)

    @property
    def lag_s(self) -> float:
        return max((partition.lag_s for partition in self.partitions), default=0.0)


@dataclass(frozen=True)
class _Commits:
    """What PostgreSQL knows of one contract, ``at`` a time: ``rate`` in events per second, its
    query's ``heartbeat``."""

    sequence: int
    partitions: dict[int, Progress]
    rate: float
    heartbeat: Heartbeat
    at: datetime


@dataclass(frozen=True)
class PipelineStatus:
    """Every contract that PostgreSQL knows of; ``unavailable``: servers that did not answer."""

    contracts: list[ContractStatus] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether every server answers, and every query says that it lives."""
        return not self.unavailable and not any(contract.faults for contract in self.contracts)


def collect(settings: Settings) -> PipelineStatus:
    """Look at everything now, in LOOK_S; what does not answer is named instead of raised."""
    contracts = load_contracts(settings.schemas_dir, settings.topics)
    status = PipelineStatus()
    stores_by, all_by = monotonic() + STORES_S, monotonic() + LOOK_S
    raw = ask(partial(cassandra.ping, settings))
    cached = {name: ask(partial(cached_sequence, settings, name)) for name in contracts}
    commits = {
        name: ask(partial(_commits, settings, contract)) for name, contract in contracts.items()
    }
    reports = {
        name: ask(partial(report_status, settings, contract))
        for name, contract in contracts.items()
    }
    committed = {name: _answer(status, "postgres", commits[name], stores_by) for name in commits}
    # Progress first: Kafka's end is then never behind what is committed.
    topics = {
        name: ask(partial(_partitions, settings, contracts[name], found))
        for name, found in committed.items()
    }
    for name, found in committed.items():
        partitions = _answer(status, "kafka", topics[name], all_by)
        sequence = _answer(status, "redis", cached[name], all_by)
        report = _answer(status, "postgres", reports[name], all_by)
        if found is not None:
            status.contracts.append(_contract(name, found, sequence, partitions or [], report))
    _answer(status, "cassandra", raw, all_by)
    return status


def _answer(
    status: PipelineStatus, server: str, asked: Future[Answer], deadline: float
) -> Answer | None:
    """What a server says by a monotonic time; None, and a line in ``status``, when it does not."""
    try:
        return asked.result(max(0.0, deadline - monotonic()))
    except TimeoutError:
        fault = f"{server}: no answer"
    except UNREADABLE as error:
        fault = f"{server}: {(str(error) or repr(error)).splitlines()[0]}"
    if fault not in status.unavailable:
        status.unavailable.append(fault)
    return None


def _commits(settings: Settings, contract: Contract) -> _Commits:
    with postgres.connect(settings) as connection, postgres.transaction(connection) as cursor:
        return _Commits(
            progress.sequence(cursor, contract.type),
            progress.read_current(cursor, contract.type),
            round(time_index.records_per_s(cursor, contract.type, RATE_WINDOW_S), 1),
            heartbeat.read_all(cursor)[contract.type],
            datetime.now(UTC),
        )


def _contract(
    name: str,
    commits: _Commits,
    cached: int | None,
    partitions: list[PartitionStatus],
    report: ReportStatus | None,
) -> ContractStatus:
    beat, refusal, trouble = commits.heartbeat
    silent = round((commits.at - beat).total_seconds(), 1) if beat else None
    behind = None if cached is None else max(0, commits.sequence - cached)
    return ContractStatus(
        name, commits.sequence, silent, behind, commits.rate, partitions, refusal, trouble, report
    )


def _partitions(
    settings: Settings, contract: Contract, commits: _Commits | None
) -> list[PartitionStatus]:
    """Kafka's side of each partition that is committed: none when PostgreSQL did not answer."""
    topic = topic_state(settings, contract.topic.name)
    if commits is None:
        return []
    return lags(settings, topic, commits.partitions, commits.at)
