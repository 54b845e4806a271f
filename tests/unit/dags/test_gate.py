"""The gate, while PostgreSQL is away."""

from __future__ import annotations

from pathlib import Path

from tests.unit.dags.conftest import printed

ENTER = Path(__file__).with_name("enter_gate.py")


def test_it_waits_for_postgresql_too(tmp_path: Path) -> None:
    """It is not tried again: a server that starts again just then must not fail it."""
    (tmp_path / "postgres_password").write_text("unused")
    away = {"WATERSHED_POSTGRES_PORT": "1", "WATERSHED_SECRETS_DIR": str(tmp_path)}
    trigger, arguments = printed(tmp_path, ENTER, **away)
    assert trigger == "watershed.orchestration.gate.Complete"
    assert arguments["event_type"] == "transaction"
    assert arguments["until"] == "2026-01-31T12:05:00+00:00"
