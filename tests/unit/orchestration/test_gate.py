"""The gate, while PostgreSQL is away, and after that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.dags import PROGRAMS, printed

ENTER = PROGRAMS / "enter_gate.py"


@pytest.fixture(scope="module")
def entered(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What became of a gate: see ``enter_gate``."""
    home = tmp_path_factory.mktemp("gate")
    (home / "postgres_password").write_text("unused")
    away = {"WATERSHED_POSTGRES_PORT": "1", "WATERSHED_SECRETS_DIR": str(home)}
    return printed(home, ENTER, **away)


def test_it_waits_for_postgresql_too(entered: Any) -> None:
    """It is not tried again: a server that starts again just then must not fail it."""
    (trigger, arguments), _, _ = entered
    assert trigger == "watershed.orchestration.gate.Complete"
    assert arguments["event_type"] == "transaction"
    assert arguments["until"] == "2026-01-31T12:05:00+00:00"


def test_it_fails_with_what_is_missing_once_its_time_is_up(entered: Any) -> None:
    _, failure, _ = entered
    assert failure.startswith("waited 60 s: PostgreSQL does not answer: ")
    assert "Connection refused" in failure


def test_it_opens_when_nothing_is_missing_any_more(entered: Any) -> None:
    *_, event = entered
    assert event == "TaskSuccessEvent"
