"""``jobs/export_lake.py`` on a raw store with complete days: each is in the lake whole, once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from tests.support.application import Application, application
from tests.support.spark import run
from tests.support.stack import Stack
from watershed.batch import lake_exports
from watershed.speed import time_index
from watershed.speed.progress import add_partition
from watershed.speed.time_index import OffsetRange
from watershed.stores import cassandra, postgres
from watershed.stores.raw import BLOCK
from watershed.stores.record_id import TopicPartition

JOB = "jobs/export_lake.py"
KEPT, GONE = "lasting", "outlived"  # no other test has these types
MS, HOUR, DAY = timedelta(milliseconds=1), timedelta(hours=1), timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY, BEFORE = ((TODAY - n * DAY).date() for n in (1, 2))
LONG_AGO = lake_exports.of_day((TODAY - 500 * DAY).date())
COLUMNS = (
    "topic_id, kafka_partition, offset_block, kafka_offset, kafka_time, arrival_time,"
    " transaction_id, event_time, branch, currency, amount, extra"
)


class Batch(NamedTuple):
    """A committed batch of one Kafka partition: arrivals, counted from TODAY, by offset."""

    partition: int
    first: int
    arrivals: list[timedelta]


BATCHES = [
    # The end of one day and the start of the next in one batch, over two Cassandra partitions.
    Batch(0, BLOCK - 2, [-30 * HOUR, -DAY - MS, -DAY, -20 * HOUR]),
    Batch(0, BLOCK + 2, [-HOUR, -MS, 0 * HOUR, 9 * HOUR]),
    Batch(1, 7, [-DAY, -12 * HOUR]),
    Batch(1, 9, [HOUR]),
]


@pytest.fixture(scope="module")
def app(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Application:
    """Two complete days, and a third that goes on; of another type a day that has expired."""
    folder = tmp_path_factory.mktemp(KEPT)
    made = application(stack, folder, KEPT, GONE)
    kept, gone = (made.contract(name) for name in (KEPT, GONE))
    with cassandra.connect(made.settings) as session:
        for row in _rows():
            values = ", ".join(["%s"] * len(row))
            session.execute(f"INSERT INTO events.{KEPT} ({COLUMNS}) VALUES ({values})", row)
    with postgres.connect(made.settings) as connection, postgres.transaction(connection) as cursor:
        for number, batch in enumerate(BATCHES):
            time_index.add(cursor, kept, "one", _range(batch), number)
        for partition in (0, 1):
            add_partition(cursor, kept, TopicPartition("one", partition), 0, TODAY + HOUR)
        expired = OffsetRange(0, 0, 9, LONG_AGO.start, LONG_AGO.start, 9, 0)
        time_index.add(cursor, gone, "one", expired, 0)
        add_partition(cursor, gone, TopicPartition("one", 0), 0, LONG_AGO.end)
    made.query(f"UPDATE control.stream SET topic_id = 'one' WHERE type IN ('{KEPT}', '{GONE}')")
    return replace(made, settings=made.settings.model_copy(update={"lake_dir": folder / "lake"}))


def _rows() -> Iterator[tuple[Any, ...]]:
    """The raw rows, as the stream would have left them."""
    for batch in BATCHES:
        for offset, since in enumerate(batch.arrivals, batch.first):
            arrival = TODAY + since
            yield (
                "one", batch.partition, offset // BLOCK, offset, arrival - MS, arrival,
                UUID(int=offset), arrival - HOUR, "Kazan", "RUB", Decimal(offset) / -100,
                '{"note": "ü"}' if offset % 2 else None,
            )  # fmt: skip


def _range(batch: Batch) -> OffsetRange:
    first, last = (TODAY + batch.arrivals[n] for n in (0, -1))
    stored = len(batch.arrivals)
    return OffsetRange(batch.partition, batch.first, batch.first + stored, first, last, stored, 0)


def _run(app: Application, *options: str, code: int = 0) -> str:
    """Run the job; its log."""
    return run(app.stack, app.settings, JOB, *options, code=code)[1]


def _folders(app: Application) -> list[str]:
    lake = app.settings.lake_dir
    return sorted(str(path.relative_to(lake)) for path in lake.glob("*/*"))


def _recorded(app: Application) -> list[tuple[Any, ...]]:
    return app.query(
        "SELECT day, folder, rows, checksum, exported_at FROM control.lake_export"
        f" WHERE type IN ('{KEPT}', '{GONE}') ORDER BY day"
    )


def _in_the_lake(app: Application) -> list[dict[str, Any]]:
    """Every row of the type's folders, in the order of its key."""
    folder = str(app.settings.lake_dir / KEPT)
    printed, _ = run(app.stack, app.settings, "-m", "tests.support.programs.parquet", folder)
    rows = [json.loads(line, parse_float=Decimal) for line in printed.splitlines()]
    for row in rows:
        times = {name: datetime.fromisoformat(row[name]) for name in row if name.endswith("_time")}
        row.update(times)
    return sorted(rows, key=_key)


def _in_the_raw_store(app: Application) -> list[dict[str, Any]]:
    """The same of the raw rows that arrived on one of the two days."""
    found = []
    for row in app.rows(KEPT):
        plain = {name: _plain(value) for name, value in row._asdict().items() if value is not None}
        del plain["offset_block"]
        arrived = plain["arrival_time"]
        if arrived < TODAY:
            found.append(plain | {"date": str(arrived.date())})
    return sorted(found, key=_key)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return str(value) if isinstance(value, UUID) else value


def _key(row: dict[str, Any]) -> tuple[int, int]:
    return row["kafka_partition"], row["kafka_offset"]


def test_days_are_in_the_lake_whole_and_once(app: Application) -> None:
    """One is killed before it counts: the next run makes it again, and the one after nothing."""
    (app.settings.scratch_dir / "failpoint").write_text("day_in_place")
    _run(app, "--type", KEPT, "--day", str(YESTERDAY), code=-signal.SIGKILL)
    assert _folders(app) == [f"{KEPT}/date={YESTERDAY}"]
    assert _recorded(app) == []
    (app.settings.lake_dir / _folders(app)[0] / "stray.parquet").touch()

    _run(app, "--type", KEPT)
    days = [f"{KEPT}/date={day}" for day in (BEFORE, YESTERDAY)]
    assert _folders(app) == days
    recorded = _recorded(app)
    assert [row[:3] for row in recorded] == [(BEFORE, days[0], 2), (YESTERDAY, days[1], 6)]
    assert _in_the_lake(app) == _in_the_raw_store(app)

    log = _run(app, code=1)
    assert f"no longer whole in the raw store: {GONE} {LONG_AGO.start.date()}" in log
    assert (_folders(app), _recorded(app)) == (days, recorded)


def test_what_cannot_be_exported_is_refused(app: Application) -> None:
    log = _run(app, "--type", KEPT, "--day", str(TODAY.date()), code=1)
    assert f"{KEPT}: {TODAY.date()} is not complete\n  -> wait until the watermark" in log
    assert "there is no contract tweet" in _run(app, "--type", "tweet", code=1)
