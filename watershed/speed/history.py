"""What becomes of old commits: the time index is thinned out, and ends where raw rows do.

A busy stream leaves half a dozen rows a second in ``control.stream_batch``. Those older than a
day are joined, one per Kafka partition and five minutes of arrival time: the keys of an interval
are still found, and 400 days fit into some 100,000 rows per partition.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.speed import flow

JOIN_AFTER = timedelta(days=1)
JOIN_S = 300


def prune(connection: Connection, contract: Contract, now: datetime) -> None:
    """Join old rows of the time index; forget what has outlived the contract's TTL. Commits."""
    with connection:
        _join(connection, contract, now - JOIN_AFTER)
        _forget(connection, contract, now - timedelta(days=contract.retention.ttl_days))


def _join(connection: Connection, contract: Contract, before: datetime) -> None:
    """Arrival times only grow with the offsets of a partition, so what is joined is adjacent.

    Skipped ranges stay apart: nothing is joined across one.
    """
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TEMPORARY TABLE joined ON COMMIT DROP AS"
        " SELECT generation, kafka_partition, min(from_offset) AS from_offset,"
        "  max(to_offset) AS to_offset, min(arrival_min) AS arrival_min,"
        "  max(arrival_max) AS arrival_max, sum(stored) AS stored,"
        "  sum(quarantined) AS quarantined, max(sequence) AS sequence,"
        "  max(committed_at) AS committed_at"
        " FROM (SELECT *, count(*) FILTER (WHERE skipped > 0) OVER"
        "   (PARTITION BY generation, kafka_partition ORDER BY from_offset) AS island"
        "  FROM control.stream_batch WHERE type = %s AND arrival_max < %s) AS old"
        " WHERE skipped = 0 GROUP BY generation, kafka_partition, contract_version, island,"
        "  floor(extract(epoch FROM arrival_max) / %s) HAVING count(*) > 1",
        [contract.type, before, JOIN_S],
    )
    same = "b.type = %s AND b.generation = j.generation AND b.kafka_partition = j.kafka_partition"
    cursor.execute(
        f"DELETE FROM control.stream_batch b USING joined j WHERE {same}"
        " AND b.from_offset > j.from_offset AND b.to_offset <= j.to_offset",
        [contract.type],
    )
    cursor.execute(
        "UPDATE control.stream_batch b SET to_offset = j.to_offset, arrival_min = j.arrival_min,"
        " arrival_max = j.arrival_max, stored = j.stored, quarantined = j.quarantined,"
        f" sequence = j.sequence, committed_at = j.committed_at FROM joined j WHERE {same}"
        " AND b.from_offset = j.from_offset",
        [contract.type],
    )


def _forget(connection: Connection, contract: Contract, before: datetime) -> None:
    cursor = connection.cursor()
    # As a commit does, first: two that lock partitions in different orders would wait for ever.
    cursor.execute("SELECT FROM control.stream WHERE type = %s FOR UPDATE", [contract.type])
    cursor.execute(
        "DELETE FROM control.stream_batch WHERE type = %s AND arrival_max < %s",
        [contract.type, before],
    )
    if cursor.rowcount:
        cursor.execute(
            "UPDATE control.stream_offset o SET indexed_from = coalesce((SELECT min(from_offset)"
            " FROM control.stream_batch b WHERE b.type = o.type AND b.generation = o.generation"
            " AND b.kafka_partition = o.kafka_partition), next_offset) WHERE type = %s",
            [contract.type],
        )
    flow.forget(connection, contract, before)
