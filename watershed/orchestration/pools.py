"""The pools that tasks wait in: ``python -m watershed.orchestration.pools`` makes them.

To be run once Airflow's own database is migrated, and harmless to repeat. A task whose pool does
not exist is never started, and only the scheduler's log says so.
"""

from __future__ import annotations

from airflow.models.pool import Pool

from watershed.orchestration.spark import POOL

DESCRIPTION = "Spark jobs, one at a time: two would not fit beside the stream"


def ensure_pools() -> None:
    """Make the pool of Spark jobs if there is none; one that is there keeps its slots."""
    if Pool.get_pool(POOL) is None:
        Pool.create_or_update_pool(POOL, slots=1, description=DESCRIPTION, include_deferred=False)


if __name__ == "__main__":
    ensure_pools()
