"""The commit: the one PostgreSQL transaction that ends a micro-batch."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.contracts.model import Contract
from watershed.speed import flow, lease, progress, time_index
from watershed.speed.flow import GroupPosition, Sum
from watershed.speed.time_index import OffsetRange
from watershed.stores.postgres import transaction


@dataclass(frozen=True)
class Commit:
    """A commit that was made: its number, and the positions it changed."""

    sequence: int
    positions: list[GroupPosition]


def commit(
    connection: Connection,
    contract: Contract,
    topic_id: str,
    epoch: int,
    ranges: list[OffsetRange],
    sums: list[Sum],
) -> Commit:
    """Move the offsets by compare-and-set and add the flow, all or nothing.

    Raises OvertakenError when another writer has the lease or has these records committed,
    ProgressError when there is a hole before them; nothing is changed then. After an
    OperationalError it may have been made or not: reading the committed offsets again tells.
    """
    with transaction(connection) as cursor:
        sequence = _next_sequence(cursor, contract, epoch)
        for offsets in sorted(ranges, key=lambda r: r.partition):  # one order: no deadlock
            progress.advance(cursor, contract, topic_id, offsets)
            time_index.add(cursor, contract, topic_id, offsets, sequence)
        return Commit(sequence, flow.add(cursor, contract, sums))


def _next_sequence(cursor: Cursor, contract: Contract, epoch: int) -> int:
    cursor.execute(
        "UPDATE control.stream SET sequence = sequence + 1 WHERE type = %s AND epoch = %s"
        " RETURNING sequence",
        [contract.type, epoch],
    )
    row = cursor.fetchone()
    if row is None:
        raise lease.lost(contract.type, epoch)
    return int(row[0])
