"""The search for an event id: valid records in the raw store, others in the quarantine.

Neither is indexed by it. The time index names the Cassandra partitions, and the server looks
through each of them, a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from cassandra.cluster import Session

from watershed.contracts.model import Contract
from watershed.contracts.validate import UUID as WRITTEN_UUID
from watershed.operations.audit.tally import plain
from watershed.speed.time_index import BlockOffsets
from watershed.stores import quarantine, raw
from watershed.stores.quarantine import Rejected
from watershed.stores.record_id import TopicPartition
from watershed.timestamps import EPOCH

CHUNK = raw.BLOCK // 4
"""Offsets that one query looks through: a whole Cassandra partition may take it seconds."""

READERS = 3

Watch = Callable[[int, int], None]
"""Told how many offsets have been looked through, and how many there are."""


class FoundRecord(NamedTuple):
    """One record with the id sought. A valid one has ``fields`` and when they were written."""

    topic_id: str
    partition: int
    offset: int
    kafka_time: datetime
    arrival_time: datetime
    written_at: datetime | None
    fields: dict[str, Any]
    rejected: Rejected | None


@dataclass(frozen=True)
class Search:
    """A search for one event id of one contract's."""

    session: Session
    contract: Contract
    event_id: str

    def run(
        self, stored: list[BlockOffsets], rejected: list[BlockOffsets], watch: Watch
    ) -> Iterator[FoundRecord]:
        """Every record with the id in these blocks of raw store and quarantine."""
        tasks = [*self._tasks(stored, rejected)]
        done, total = 0, sum(len(block.offsets) for _, block in tasks)
        with ThreadPoolExecutor(READERS) as pool:
            results = pool.map(lambda task: task[0](task[1]), tasks)
            for (_, block), found in zip(tasks, results, strict=True):
                yield from found
                done += len(block.offsets)
                watch(done, total)

    def _tasks(
        self, stored: list[BlockOffsets], rejected: list[BlockOffsets]
    ) -> Iterator[tuple[Callable[[BlockOffsets], list[FoundRecord]], BlockOffsets]]:
        typed = as_id(self.contract, self.event_id)
        if typed is not None:
            for block in chunks(stored):
                yield partial(self._valid, typed), block
        for key in {self.event_id, str(typed or self.event_id)}:
            for block in chunks(rejected):
                yield partial(self._rejected, key.encode()), block

    def _valid(self, event_id: UUID | str, block: BlockOffsets) -> list[FoundRecord]:
        names = (*self.contract.fields, "extra")
        columns = ("kafka_offset", "kafka_time", "arrival_time", "WRITETIME(kafka_time)", *names)
        table, column = self.contract.type, self.contract.event_id
        at = TopicPartition(block.topic_id, block.partition)
        rows = raw.with_value(self.session, table, columns, at, block.offsets, column, event_id)
        return [_found(block, names, plain(row)) for row in rows]

    def _rejected(self, key: bytes, block: BlockOffsets) -> list[FoundRecord]:
        found = quarantine.with_key(self.session, *block[:3], key)
        return [
            FoundRecord(*block[:2], one.offset, one.kafka_time, one.arrival_time, None, {}, one)
            for one in found
        ]


def _found(block: BlockOffsets, names: tuple[str, ...], row: tuple[Any, ...]) -> FoundRecord:
    offset, kafka_time, arrival_time, written_us, *values = row
    written_at = EPOCH + timedelta(microseconds=written_us)
    fields = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    return FoundRecord(*block[:2], offset, kafka_time, arrival_time, written_at, fields, None)


def as_id(contract: Contract, text: str) -> UUID | str | None:
    """An event id as the raw store has it; None if no event of the contract can have it."""
    if contract.fields[contract.event_id].kind != "uuid":
        return text
    return UUID(text) if WRITTEN_UUID.fullmatch(text) else None


def chunks(blocks: Iterable[BlockOffsets]) -> Iterator[BlockOffsets]:
    """The blocks, cut so that one query answers soon."""
    for block in blocks:
        for start in range(block.offsets.start, block.offsets.stop, CHUNK):
            yield block._replace(offsets=range(start, min(start + CHUNK, block.offsets.stop)))
