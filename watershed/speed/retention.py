"""Retention of the stream's tables: the time index ends where raw rows do, and is thinned out."""

from __future__ import annotations

from datetime import datetime, timedelta

from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.speed import flow, progress, time_index
from watershed.stores.postgres import transaction

JOIN_AFTER = timedelta(days=1)


def prune(connection: Connection, contract: Contract, now: datetime) -> None:
    """Join old rows of the time index; delete what has outlived the contract's TTL."""
    before = now - timedelta(days=contract.retention.ttl_days)
    with transaction(connection) as cursor:
        time_index.join(cursor, contract.type, now - JOIN_AFTER)
        # As a commit does, first: two that lock partitions in different orders would wait for ever.
        progress.hold_commits(cursor, contract.type)
        if time_index.prune(cursor, contract.type, before):
            begins = time_index.begins(cursor, contract.type)
            for partition, state in progress.read_all(cursor, contract.type).items():
                first = begins.get(partition, state.next)
                progress.set_indexed_from(cursor, contract.type, partition, first)
        flow.prune(cursor, contract, before)
