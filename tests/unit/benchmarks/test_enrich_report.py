"""What a run of ``./ws bench enrich`` comes to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from benchmarks.enrich_report import STAGES, Report, Rounds, as_dict, goals, show


def _round(events: int, **seconds: float) -> dict[str, Any]:
    return {"events": events, "stages": dict.fromkeys(STAGES, 0.0) | seconds}


REPORT = Report(
    datetime(2026, 11, 25, tzinfo=UTC),
    alone=Rounds(9.0, [_round(50_000, read=4.0), _round(50_000, read=1.0, copy=1.0)], None),
    among=Rounds(9.0, [_round(50_000, read=2.1), _round(50_000, read=3.0)], None),
    all=Rounds(
        9.0,
        [
            _round(1_000_000, read=25.0, copy=5.0, publish=9.0),
            _round(1_000_000, enrich=4.0, copy=6.0),
        ],
        40.0,
    ),
)


def test_goals_are_measured_by_first_and_fastest_rounds() -> None:
    found = {goal.what: (round(goal.measured, 2), goal.met) for goal in goals(REPORT)}
    assert found == {
        "enriched and loaded": (33_333.33, True),
        "interval among 21 x as much / alone": (1.05, True),
        "naive JDBC append / enrich and COPY": (4.0, True),
    }


def test_report_is_printed_and_given_to_scripts() -> None:
    show(REPORT)
    assert as_dict(REPORT)["all"]["rounds"][0]["stages"]["read"] == 25.0
