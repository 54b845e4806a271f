"""What a benchmark calculates from its measurements, without any server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.latency import Watch, acknowledged, after, summary
from benchmarks.peers.spark_query import measured
from benchmarks.peers.tuned_consumer import BATCH_ROWS, batches
from benchmarks.report import WAYS, Report, as_dict, goals
from benchmarks.results import Goal, Run, last_run, percentile
from watershed.errors import WatershedError


def test_rate_counts_from_the_start_and_sustained_the_second_half():
    run = Run.of(100.0, [(50, 110.0), (50, 115.0), (60, 117.0), (40, 120.0)])
    assert run == Run(200, 20.0, 100, 5.0)
    assert (run.rate, run.sustained) == (10.0, 20.0)


def test_one_batch_has_no_second_half():
    run = Run.of(100.0, [(50, 110.0)])
    assert (run.rate, run.sustained) == (5.0, 5.0)


def test_a_run_comes_through_a_program_s_output():
    run = Run.even(10, 2.5)
    assert last_run(f"Spark says something\n{run.line()}\n") == run


def test_output_without_a_run_is_an_error():
    with pytest.raises(ValueError, match="Expecting value"):
        last_run("")


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentile_is_the_smallest_that_enough_do_not_exceed(values: list[float], share: float):
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) <= max(0, share * len(values))


def test_percentile_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_goal_is_met_at_its_limit():
    assert Goal("rate", 3.0, "x", at_least=3.0).met
    assert not Goal("rate", 2.9, "x", at_least=3.0).met
    assert Goal("p50", 1.0, "s", at_most=1.0).met
    assert not Goal("p50", 1.1, "s", at_most=1.0).met
    assert Goal("p99", 0, "s", at_most=2.5).target == "≤ 2.5 s"


def test_a_record_is_visible_from_the_first_step_beyond_it():
    steps = [(10, 1.0), (20, 2.0)]
    assert [after(steps, n) for n in (0, 9, 10, 19)] == [1.0, 1.0, 2.0, 2.0]
    with pytest.raises(WatershedError, match="record 20 was never seen"):
        after(steps, 20)


def test_latency_counts_from_the_append_to_each_store():
    watch = Watch(settings=None, event_type="transaction")  # type: ignore[arg-type]
    watch.offsets = {0: [(2, 10.5), (4, 11.5)]}
    watch.ranges = {0: [(2, 7), (4, 8)]}  # commit 7 has offsets 0 and 1, commit 8 the others
    watch.cached = [(8, 10.75), (9, 12.0)]
    found = summary([(0, 1, 10.0), (0, 2, 11.0)], watch)
    assert (found["flow_p50_s"], found["flow_max_s"]) == (0.5, 0.5)
    assert (found["redis_p50_s"], found["redis_max_s"]) == (0.75, 1.0)


def test_records_before_the_measurement_are_left_out(tmp_path):
    log = tmp_path / "log"
    line = '{{"partition": 1, "offset": {0}, "timestamp": {1}}}\n'
    log.write_text(line.format(5, 1_999) + line.format(6, 2_000))
    assert acknowledged(log, since=2.0) == [(1, 6, 2.0)]


def test_a_tuned_batch_is_full_and_of_one_cassandra_partition():
    rows = [("g", 0, n // 400, n) for n in range(800)]
    found = list(batches(iter(rows)))
    assert [row for batch in found for row in batch] == rows
    assert [len(batch) for batch in found] == [BATCH_ROWS, 100, BATCH_ROWS, 100]
    assert all(len({row[2] for row in batch}) == 1 for batch in found)


def test_a_spark_query_is_measured_without_its_empty_batches():
    progress = [
        {"timestamp": "2026-01-31T12:00:00.000Z", "numInputRows": 60,
         "durationMs": {"triggerExecution": 4_000}},
        {"timestamp": "2026-01-31T12:00:04.500Z", "numInputRows": 40,
         "durationMs": {"triggerExecution": 1_500}},
        {"timestamp": "2026-01-31T12:00:06.000Z", "numInputRows": 0, "durationMs": {}},
    ]  # fmt: skip
    assert measured(progress) == Run(100, 6.0, 40, 2.0)


def test_ratios_are_of_the_second_halves():
    runs = dict.fromkeys(WAYS, Run.even(10, 1.0)) | {"stream": Run(100, 9.0, 45, 1.5)}
    latency = {f"{key}_{name}_s": 0.5 for key in ("redis", "flow") for name in ("p50", "p99")}
    report = Report(100, runs=runs, startup_s=1.0, latency=latency)
    assert report.ratio("plain") == 3.0
    assert report.with_startup == 10.0
    met = {goal.what: goal.met for goal in goals(report)}
    assert met[f"stream / {WAYS['tuned']}"]
    assert not met[f"stream / {WAYS['plain']}"]
    assert as_dict(report)["runs"]["stream"]["sustained"] == 30.0
