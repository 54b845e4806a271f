"""What the DAG ``retention`` does: everything that is old enough goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from watershed.batch import report, staging_table
from watershed.orchestration.project import contracts, store
from watershed.stores import alerts, reference
from watershed.stores.postgres import transaction

UNPUBLISHED = timedelta(days=2)
"""So long what was loaded and not published may be looked at: somebody may want to know why."""

ALERTS = timedelta(days=90)


def prune() -> dict[str, Any]:
    """Prune reports, staging tables, alerts and snapshots; how much of each went."""
    now = datetime.now(UTC)
    with store() as (settings, connection):
        pruned = {
            contract.type: report.prune(
                connection, contract, now - timedelta(days=contract.retention.ttl_days)
            )
            for contract in contracts(settings).values()
            if contract.report
        }
        tables = staging_table.drop_old(connection, now - UNPUBLISHED)
        with transaction(connection) as cursor:
            pruned_alerts = alerts.prune(cursor, now - ALERTS)
        snapshots = reference.prune(connection)
    return {
        "pruned_until": {name: until.isoformat() for name, until in pruned.items() if until},
        "staging_tables": tables,
        "alerts": pruned_alerts,
        "snapshots": snapshots,
    }
