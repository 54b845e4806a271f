"""What ``./ws status`` says of a contract's report."""

from __future__ import annotations

import dataclasses
import random

from tests.support.report_world import START, WIDTH, World, some_records
from watershed.batch.intervals import Interval
from watershed.cli.status import report_lines
from watershed.operations.report_status import ReportStatus, report_status
from watershed.settings import Settings
from watershed.stores.alerts import alert


def _report_status(database: Settings, world: World) -> ReportStatus:
    found = report_status(database, world.contract)
    assert found is not None
    return found


def test_what_is_final(database: Settings, world: World, dice: random.Random) -> None:
    found = _report_status(database, world)
    assert found == ReportStatus(None, None, None, 0, None)
    assert list(report_lines(found)) == [("final", "nothing yet"), ("unexplained", "0")]

    world.arrive(some_records(dice, [], START, START + 3 * WIDTH, 90))
    world.pass_time(START + 3 * WIDTH)
    world.finalize(Interval(START, START + 2 * WIDTH))
    world.read(alert, "heartbeat", "it stands still\n  -> look [here]", None)
    world.read(alert, "enrich", "about another", "other")
    found = _report_status(database, world)
    assert found.final_until == START + 2 * WIDTH
    assert found.final_s is not None
    assert found.final_s > 3600
    last, events = found.last, len(world.within(Interval(START + WIDTH, START + 2 * WIDTH)))
    assert last is not None
    assert (last.start, last.rows + last.duplicates) == (START + WIDTH, events)
    assert found.alert is not None
    assert (found.alert.source, found.alert.message) == ("heartbeat", "it stands still")

    world.query("UPDATE report.transaction_interval SET flow_count = flow_count + 1"
                " WHERE interval_start = %s", START)  # fmt: skip
    world.skip(Interval(START + 2 * WIDTH, START + 3 * WIDTH))
    found = _report_status(database, world)
    text = dict(report_lines(found))
    assert text["last"] == "22:10 to 22:15, skipped"
    assert found.unexplained > 0
    assert text["unexplained"].startswith(f"[red]{found.unexplained}[/] groups")
    assert dataclasses.asdict(found)["last"]["skipped"]


def test_a_contract_without_a_report(database: Settings, world: World) -> None:
    assert report_status(database, world.contract.model_copy(update={"report": None})) is None
