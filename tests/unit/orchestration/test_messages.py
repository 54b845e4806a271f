"""What the DAGs say: what is wrong, and what to do about it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from watershed.batch.reconcile import UnexplainedSum
from watershed.orchestration.messages import (
    StreamState,
    audit_faults,
    drift,
    failed_checks,
    incomplete,
    job_failure,
    standing_still,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("watermark", "until", "has_snapshot", "message"),
    [
        (None, NOON, True, "nothing of tweet is known to be complete"),
        (
            NOON - SECOND,
            NOON,
            True,
            "up to 2026-01-31 11:59:59 UTC, the run needs 2026-01-31 12:00",
        ),
        (NOON, NOON, False, "no snapshot of the reference data"),
    ],
)
def test_the_gate_says_what_is_missing_and_the_remedy(
    watermark: datetime | None, until: datetime, has_snapshot: bool, message: str
) -> None:
    found = incomplete("tweet", watermark, until, has_snapshot)
    assert found is not None
    assert message in found
    assert "\n  -> " in found


def test_the_gate_opens_when_everything_is_there() -> None:
    assert incomplete("tweet", NOON, NOON, True) is None
    assert incomplete("tweet", NOON, None, True) is None


@pytest.mark.parametrize("moved", [None, NOON, NOON - 4 * MINUTE])
def test_a_stream_that_beats_moves_and_refuses_nothing_is_well(moved: datetime | None) -> None:
    query = StreamState("tweet", NOON, None, moved)
    assert standing_still([query], NOON + MINUTE, MINUTE, 5 * MINUTE) == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (StreamState("tweet", None, None, None), "has never said that it lives"),
        (
            StreamState("tweet", NOON - SECOND, "expired", NOON),
            "is silent since 2026-01-31 11:59:59 UTC",
        ),
        (
            StreamState("tweet", NOON, "a hole\n  -> ./ws repair holes", NOON),
            "does not go on: a hole\n  -> ./ws",
        ),
        (
            StreamState("tweet", NOON, None, NOON - 4 * MINUTE - SECOND),
            "since 2026-01-31 11:55:59 UTC it has committed nothing",
        ),
    ],
)
def test_a_stream_that_stands_still_is_named_with_the_remedy(
    query: StreamState, message: str
) -> None:
    [found] = standing_still([query], NOON + MINUTE, MINUTE, 5 * MINUTE)
    assert found.startswith("tweet: ")
    assert message in found
    assert query.refusal or "\n  -> ./ws" in found


def test_checks_that_failed_are_listed() -> None:
    found = failed_checks("tweet", "tweet_17", {"range": "3, must be 0", "rows": "9, must be 10"})
    assert "2 quality checks" in found
    assert "\n    range: 3, must be 0" in found
    assert "staging.tweet_17" in found


@pytest.mark.parametrize(
    ("names", "cures"),
    [
        (["unmatched branch", "range"], ["range, unmatched branch: repair the reference data"]),
        (["flow", "rows"], ["flow, rows: ./ws audit says which layer is wrong"]),
        (["flow", "range"], ["range: repair the reference data", "flow: ./ws audit says which"]),
    ],
)
def test_each_failed_check_has_its_remedy(names: list[str], cures: list[str]) -> None:
    _, *said = failed_checks("tweet", "tweet_17", dict.fromkeys(names, "9")).split("\n  -> ")[1:]
    assert [cure[: len(start)] for cure, start in zip(said, cures, strict=True)] == cures
    for cure in said:
        assert "then clear the task begin" in cure
        if "audit" in cure:
            assert "./ws rebuild flow tweet " in cure
            assert "./ws skip-interval tweet START" in cure


AT = "2026-11-25 10:14:08,675"
PYTHON = [
    "Traceback (most recent call last):",
    'File "jobs/enrich_intervals.py", line 9, in run',
    "raise ValueError(text)",
]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [f"{AT} INFO    watershed.enrich reads", f"{AT} ERROR   watershed.enrich no rows",
             "-> look at them", "and more"],
            "no rows\n  -> look at them",
        ),
        (
            [f"{AT} ERROR   watershed.reference not as it must be", "branch: Kazan",
             "-> correct it", f"{AT} WARN    Hooks the end"],
            "not as it must be\n  branch: Kazan\n  -> correct it",
        ),
        (
            [f"{AT} ERROR   watershed.lake the first", f"{AT} ERROR   watershed.lake the last",
             f"{AT} ERROR   Executor Exception in task 0.0", "java.lang.Exception: no"],
            "the last",
        ),
    ],
)  # fmt: skip
def test_a_job_that_failed_says_what_it_logged_last(lines: list[str], said: str) -> None:
    assert job_failure(lines, 1) == said


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ([*PYTHON, "ValueError: no", f"{AT} WARN    Hooks the end"], "ValueError: no"),
        (
            [*PYTHON, "py4j.protocol.Py4JJavaError: An error occurred while calling o80.parquet.",
             ": org.apache.spark.SparkException: Job aborted.", "at org.apache.spark.Some.where",
             "... 33 more"],
            "org.apache.spark.SparkException: Job aborted.",
        ),
        (
            [f"{AT} INFO    watershed.enrich reads", ""],
            f"the job ended with exit code 137; the last it printed is: {AT} INFO    "
            "watershed.enrich reads",
        ),
        ([], "the job ended with exit code 137, and printed nothing"),
    ],
)  # fmt: skip
def test_a_job_that_logged_no_error_says_what_there_is(lines: list[str], cause: str) -> None:
    first, remedy = job_failure(lines, 137).split("\n")
    assert first == cause
    assert remedy.startswith("  -> the end of this task's log")


def test_an_audit_that_does_not_hold_names_its_faults() -> None:
    faults = [f"fault {number}" for number in range(9)]
    checks = [
        {"contract": "tweet", "check": "offsets", "ok": True, "faults": []},
        {"contract": "tweet", "check": "flow", "ok": False, "faults": faults},
    ]
    found = audit_faults(json.dumps({"checks": checks}))
    assert found == ["tweet flow: fault 0; fault 1; fault 2; fault 3; fault 4"]


@pytest.mark.parametrize("output", ["", "Traceback (most recent call last):", "[]", "{}"])
def test_what_is_no_audit_has_no_faults(output: str) -> None:
    assert audit_faults(output) is None


def test_drift_names_interval_group_and_size() -> None:
    found = drift("tweet", [UnexplainedSum(NOON, ("Kazan", "RUB"), Decimal("-1.50"), -1)])
    assert "\n    2026-01-31 12:00:00 Kazan RUB: -1.50 in -1 events" in found
    assert "./ws audit" in found
    assert "Then clear the task begin: the interval is compared again" in found
