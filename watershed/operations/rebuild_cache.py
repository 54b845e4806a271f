"""``./ws rebuild cache``: the cache emptied, and made again from the stores."""

from __future__ import annotations

from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.speed import cache
from watershed.stores import cassandra, postgres
from watershed.stores.operator_log import log_operation


def rebuild_cache(settings: Settings, contract: Contract) -> int:
    """Empty the contract's cache and make it again; the commit that it is as of."""
    with (
        postgres.connect(settings) as connection,
        cassandra.connect(settings) as session,
        cache.connect(settings) as client,
    ):
        cache.clear(client, contract)
        ttl_s, keyspace = settings.cache_ttl_s, settings.cassandra_keyspace
        sequence = cache.rebuild(client, contract, ttl_s, connection, session, keyspace)
        with connection:
            command = f"./ws rebuild cache {contract.type}"
            log_operation(connection, command, contract.type, {"sequence": sequence})
    return sequence
