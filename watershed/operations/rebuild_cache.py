"""``./ws rebuild cache``: the cache emptied, and made again from the stores."""

from __future__ import annotations

from watershed.contracts.model import Contract
from watershed.settings import Settings
from watershed.speed import cache
from watershed.stores.clients import open_clients
from watershed.stores.operator_log import log_operation
from watershed.stores.postgres import transaction


def rebuild_cache(settings: Settings, contract: Contract) -> int:
    """Empty the contract's cache and make it again; the commit that it is as of."""
    with open_clients(settings) as clients:
        cache.clear(clients.redis, contract)
        sequence = cache.rebuild(clients, contract, settings.cache_ttl_s)
        with transaction(clients.postgres) as cursor:
            command = f"./ws rebuild cache {contract.type}"
            log_operation(cursor, command, contract.type, {"sequence": sequence})
    return sequence
