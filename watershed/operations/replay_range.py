"""``./ws quarantine replay --last``: the records of a range, each once, as they are.

What the contract of today accepts is sent; what it refuses stays, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cassandra.cluster import Session

from watershed.contracts.model import Contract
from watershed.errors import ReplayError
from watershed.operations.replay import Replayer, Wait
from watershed.settings import Settings
from watershed.speed import progress
from watershed.stores import cassandra, postgres, quarantine, replays
from watershed.stores.postgres import transaction
from watershed.stores.raw import BLOCK
from watershed.stores.record_id import RecordId

MOST = 1_000
"""Records of one call: each holds a lock in PostgreSQL until it ends."""


@dataclass(frozen=True)
class Outcome:
    """What became of one record: ``to`` is where it is now, else ``why`` it was not sent.

    With both, it had been sent before.
    """

    record: RecordId
    to: RecordId | None
    why: str = ""


def replay_range(
    settings: Settings,
    contract: Contract,
    first: RecordId,
    last: int,
    reason: str,
    wait: Wait,
) -> Iterator[Outcome]:
    """Send what is in quarantine from ``first`` up to and with offset ``last``, in order.

    ``reason`` is noted in the operator's log. Raises ReplayError when there is nothing, or more
    than MOST; and as :meth:`Replayer.replay` does when a server is away: what was sent until then
    is sent, and the next call goes on.
    """
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        with transaction(connection) as cursor:
            topic_id = progress.topic_id(cursor, contract.type) or ""
        found = _quarantined(session, topic_id, first, last)
        with transaction(connection) as cursor:
            done = replays.find(cursor, topic_id, found)
        replayer = Replayer(settings, contract, connection, session, wait, reason)
        for record in found:
            before = done.get(record)
            if before and before.to:
                yield Outcome(record, before.to, f"was sent before, by {before.operator}")
            else:
                yield _replayed(replayer, record)


def _replayed(replayer: Replayer, record: RecordId) -> Outcome:
    try:
        done = replayer.replay(record, None)
    except ReplayError as error:
        return Outcome(record, None, error.cause)
    return Outcome(record, done.to, "had been sent by a try that did not end" if done.found else "")


def _quarantined(session: Session, topic_id: str, first: RecordId, last: int) -> list[RecordId]:
    """The records in the range that are in quarantine, by offset."""
    found: list[RecordId] = []
    for offsets in by_block(first.offset, last):
        rejected = quarantine.newest(session, topic_id, first.partition, offsets)
        found += sorted(first._replace(offset=one.offset) for one in rejected)
        if len(found) > MOST:
            raise ReplayError(
                f"more than {MOST:,} records are in quarantine from {first} to {last}",
                f"replay up to {found[MOST - 1].offset} first",
            )
    if not found:
        raise ReplayError(
            f"nothing is in quarantine from {first} to {last}",
            "./ws quarantine list names what is",
        )
    return found


def by_block(first: int, last: int) -> list[range]:
    """The offsets from ``first`` to ``last`` by Cassandra partition; none when last is before."""
    starts = range(first - first % BLOCK, last + 1, BLOCK)
    parts = (range(max(first, start), min(last + 1, start + BLOCK)) for start in starts)
    return [part for part in parts if part]
