"""The project as its DAG files see it: settings, contracts, and what all their tasks share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowFailException
from psycopg2.extensions import connection as Connection

import watershed
from watershed.contracts.load import load_contracts
from watershed.contracts.model import Contract
from watershed.errors import LeaseHeldError, WatershedError
from watershed.settings import Settings, load_settings
from watershed.stores import alerts, postgres

ROOT = Path(watershed.__file__).parents[1]
OWNER = "data-engineering"


def contracts(settings: Settings) -> dict[str, Contract]:
    """Every contract by type. Raises ContractError."""
    return load_contracts(settings.schemas_dir, settings.topics)


def contract_of(settings: Settings, event_type: str) -> Contract:
    """The contract of a type, as it is now. Raises ContractError."""
    return contracts(settings)[event_type]


def event_types() -> list[str]:
    """Every contract's type, for a form."""
    return sorted(contracts(load_settings()))


def reported() -> tuple[Settings, list[Contract]]:
    """The settings, and the contracts that the batch layer reports on."""
    settings = load_settings()
    return settings, [contract for contract in contracts(settings).values() if contract.report]


@contextmanager
def store() -> Iterator[tuple[Settings, Connection]]:
    """The settings and a connection to PostgreSQL. A WatershedError ends the task at once.

    Trying again would find the same, unless somebody else only has the lock for now.
    """
    settings = load_settings()
    with postgres.connect(settings) as connection:
        try:
            yield settings, connection
        except LeaseHeldError:
            raise
        except WatershedError as error:
            raise AirflowFailException(str(error)) from None


def default_args(event_type: str | None = None) -> dict[str, Any]:
    """Of every task: owner, alert and retries. A task may be repeated whatever it had done."""
    return {
        "owner": OWNER,
        "retries": 3,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(minutes=30),
        "on_failure_callback": partial(alert_failure, event_type),
    }


def alert_failure(event_type: str | None, context: Mapping[str, Any]) -> None:
    """Raise an alert about a task that failed for good: an ``on_failure_callback``."""
    instance = context["ti"]
    error = context.get("exception")
    message = f"{instance.task_id}: {error or context.get('reason') or 'see its log'}"
    detail = {
        "task": instance.task_id,
        "run": instance.run_id,
        "try": instance.try_number,
        "host": os.uname().nodename,
        **getattr(error, "detail", {}),
    }
    with (
        postgres.connect(load_settings()) as connection,
        postgres.transaction(connection) as cursor,
    ):
        alerts.alert(cursor, instance.dag_id, message, event_type, detail)
