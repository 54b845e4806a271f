"""The commit: the one PostgreSQL transaction that ends a micro-batch."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.errors import OvertakenError, ProgressError
from watershed.speed import flow, lease, time_index
from watershed.speed.flow import Position, Sum
from watershed.speed.time_index import OffsetRange


@dataclass(frozen=True)
class Commit:
    """A commit that was made: its number, and the positions it changed."""

    sequence: int
    positions: list[Position]


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
    with connection:  # commits, or rolls back on any error
        sequence = _next_sequence(connection, contract, epoch)
        for one in sorted(ranges, key=lambda r: r.partition):  # one order: no deadlock
            advance(connection, contract, topic_id, one)
            time_index.index(connection, contract, topic_id, one, sequence)
        return Commit(sequence, flow.add(connection, contract, sums))


def _next_sequence(connection: Connection, contract: Contract, epoch: int) -> int:
    cursor = connection.cursor()
    cursor.execute(
        "UPDATE control.stream SET sequence = sequence + 1 WHERE type = %s AND epoch = %s"
        " RETURNING sequence",
        [contract.type, epoch],
    )
    row = cursor.fetchone()
    if row is None:
        raise lease.lost(contract.type, epoch)
    return int(row[0])


def advance(connection: Connection, contract: Contract, topic_id: str, one: OffsetRange) -> None:
    """Move one partition's offset, in this connection's transaction; raises as commit does."""
    cursor = connection.cursor()
    key = [contract.type, topic_id, one.partition]
    cursor.execute(
        "UPDATE control.stream_offset SET next_offset = %s, watermark = greatest(watermark, %s),"
        " stored = stored + %s, quarantined = quarantined + %s, skipped = skipped + %s"
        " WHERE type = %s AND topic_id = %s AND kafka_partition = %s AND next_offset = %s",
        [
            one.to_offset,
            one.arrival_max,
            one.stored,
            one.quarantined,
            one.skipped,
            *key,
            one.from_offset,
        ],
    )
    if cursor.rowcount == 1:
        return
    cursor.execute(
        "SELECT next_offset FROM control.stream_offset"
        " WHERE type = %s AND topic_id = %s AND kafka_partition = %s",
        key,
    )
    found = cursor.fetchone()
    _refuse(contract, one, found[0] if found else None)


def _refuse(contract: Contract, one: OffsetRange, committed: int | None) -> None:
    where = f"{contract.type}/{one.partition}"
    if committed is None:
        raise OvertakenError(f"{where} is a new partition: starting again adopts it")
    if committed > one.from_offset:
        raise OvertakenError(
            f"{where}: records from {one.from_offset} are committed up to {committed} already",
            "is a second stream running? it may go on; this one starts again",
        )
    raise ProgressError(
        f"{where}: the batch begins at {one.from_offset}, committed is {committed}",
        "the stream starts again from there; if it ends here again, the offsets between have no"
        f" record, and ./ws repair holes {contract.type} skips them",
    )
