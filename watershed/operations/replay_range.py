"""The quarantined records of a range go through Kafka again, each once, as they are.

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
from watershed.stores.raw import BLOCK
from watershed.stores.record_id import Place

MOST = 1_000
"""Records of one call: each holds a lock in PostgreSQL until it ends."""


@dataclass(frozen=True)
class Outcome:
    """What became of one record: ``to`` is its new place, else ``why`` it was not sent.

    With both, it had been sent before.
    """

    place: Place
    to: Place | None
    why: str = ""


def replay_range(
    settings: Settings,
    contract: Contract,
    first: Place,
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
        topic_id = progress.topic_id(connection, contract.type) or ""
        found = _quarantined(session, settings.cassandra_keyspace, topic_id, first, last)
        done = replays.find(connection, topic_id, found)
        connection.rollback()
        replayer = Replayer(settings, contract, connection, session, wait, reason)
        for place in found:
            before = done.get(place)
            if before and before.to:
                yield Outcome(place, before.to, f"was sent before, by {before.operator}")
            else:
                yield _replayed(replayer, place)


def _replayed(replayer: Replayer, place: Place) -> Outcome:
    try:
        done = replayer.replay(place, None)
    except ReplayError as error:
        return Outcome(place, None, error.cause)
    return Outcome(place, done.to, "had been sent by a try that did not end" if done.found else "")


def _quarantined(
    session: Session, keyspace: str, topic_id: str, first: Place, last: int
) -> list[Place]:
    """The places in the range that have a quarantined record, by offset."""
    found: list[Place] = []
    for part in by_block(first.offset, last):
        records = quarantine.newest(session, keyspace, topic_id, first.partition, part)
        found += sorted(first._replace(offset=one.offset) for one in records)
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
