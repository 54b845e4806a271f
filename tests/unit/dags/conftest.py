"""The project's DAGs, as Airflow's own environment reads them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.dags import describe


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return describe(tmp_path_factory.mktemp("airflow"), WATERSHED_BATCH_INTERVAL_S="300")


@pytest.fixture(scope="session")
def dags(found: Any) -> dict[str, Any]:
    """Each DAG by name: see ``tests/support/programs/describe_dags.py``."""
    assert found["errors"] == {}
    read: dict[str, Any] = found["dags"]
    return read
