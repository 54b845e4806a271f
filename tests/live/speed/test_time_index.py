"""Old commits: joined after a day, forgotten with their rows; the audit holds all the while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.application import Application, application
from tests.support.stack import Stack
from watershed.operations.audit.snapshot import snapshot
from watershed.speed import lease, progress, retention
from watershed.speed.commit import commit
from watershed.speed.time_index import OffsetRange
from watershed.stores import postgres
from watershed.stores.topics import topic_state

START = datetime(2026, 1, 1, tzinfo=UTC)


def _commit(app: Application, seconds: list[int]) -> None:
    """Commits of one record each in partition 0, as many seconds after START."""
    contract = app.contract("aged")
    with postgres.connect(app.settings) as connection:
        topic = topic_state(app.settings, "aged")
        progress.resume(connection, contract, topic)
        epoch = lease.acquire(connection, "aged", "test")
        assert epoch is not None
        for offset, second in enumerate(seconds):
            at = START + timedelta(seconds=second)
            one = OffsetRange(0, offset, offset + 1, at, at, 1, 0)
            commit(connection, contract, topic.topic_id, epoch, [one], [])


def _index(app: Application) -> list[tuple[int, int]]:
    return app.query(
        "SELECT from_offset, to_offset FROM control.stream_batch WHERE type = 'aged' ORDER BY 1"
    )


def test_commits_are_joined_after_a_day_and_forgotten_after_their_ttl(
    stack: Stack, tmp_path: Path
) -> None:
    app = application(stack, tmp_path, "aged")
    contract = app.contract("aged")
    _commit(app, [0, 2, 4, 299, 300, 302, 86_400])
    with postgres.connect(app.settings) as connection:
        retention.prune(connection, contract, START + timedelta(days=1, seconds=350))
        assert _index(app) == [(0, 4), (4, 6), (6, 7)]
        retention.prune(connection, contract, START + timedelta(days=1, seconds=350))
        assert _index(app) == [(0, 4), (4, 6), (6, 7)]
        now = START + timedelta(days=2)
        [whole] = [
            committed
            for key, committed in snapshot(connection, contract, None, now).partitions.items()
            if key.partition == 0
        ]
        assert (whole.offsets, whole.stored, whole.faults) == (range(7), 7, [])
        after_ttl = START + timedelta(days=contract.retention.ttl_days, seconds=300)
        retention.prune(connection, contract, after_ttl)
        assert _index(app) == [(4, 6), (6, 7)]
        later = snapshot(connection, contract, None, after_ttl)
    [rest] = [committed for key, committed in later.partitions.items() if key.partition == 0]
    assert later.since is not None
    assert (rest.offsets.stop, rest.faults) == (7, [])
