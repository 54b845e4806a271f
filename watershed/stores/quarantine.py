"""The quarantine: every invalid record whole, keyed as in the raw store, with its reason."""

from __future__ import annotations

from watershed.stores.raw import KEY
from watershed.stores.table import Table

DEFAULT_TTL_DAYS = 30  # each row's own TTL comes from its contract


def table() -> Table:
    """``<keyspace>.quarantine``, for every contract: a generation belongs to one topic."""
    return Table(
        "quarantine",
        {
            "generation": "text",
            "kafka_partition": "int",
            "offset_block": "bigint",
            "kafka_offset": "bigint",
            "kafka_time": "timestamp",
            "arrival_time": "timestamp",
            "type": "text",
            "reason": "text",
            "detail": "text",
            "key": "blob",
            "value": "blob",
        },
        KEY,
        DEFAULT_TTL_DAYS,
    )
