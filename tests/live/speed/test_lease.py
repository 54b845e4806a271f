"""One writer: a second application gives way, and one that slept changes nothing when it wakes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.application import application
from tests.support.postgres import read
from tests.support.stack import Stack, wait_until
from watershed.errors import OvertakenError
from watershed.speed import lease
from watershed.stores import postgres


def test_a_second_application_gives_way_and_a_zombie_changes_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    app = application(stack, tmp_path, "leased")
    with app.running("first") as first:
        app.send("leased", "1.00", "96.00")
        app.wait_committed("leased")
        with app.running("second") as second:
            assert second.wait(60) == 1
        assert "leased is streamed by" in app.log("second")
        assert f":{first.pid}:" in app.log("second")
        os.killpg(first.pid, signal.SIGSTOP)
        try:
            app.send("leased", "2.00", "97.00")
            with app.running("third") as third:
                app.wait_committed("leased")
                app.send("leased", "3.00")
                os.killpg(first.pid, signal.SIGCONT)
                assert first.wait(60) == 1
                assert f":{third.pid}:" in app.log("first")
                app.verify("leased")
        finally:
            if first.poll() is None:
                os.killpg(first.pid, signal.SIGCONT)
    assert app.position("leased") == "199.00 in 5"


def test_a_lease_that_ran_out_is_taken_and_fences_its_holder(stack: Stack, tmp_path: Path) -> None:
    app = application(stack, tmp_path, "fenced")
    state = "SELECT epoch, holder, lease_until < clock_timestamp() FROM control.stream"
    with postgres.connect(app.settings) as connection:
        assert lease.acquire(connection, "fenced", "a") == 1
        assert lease.acquire(connection, "fenced", "b") is None
        assert lease.acquire(connection, "fenced", "a") == 2
        wait_until(
            lambda: app.query(f"{state} WHERE type = 'fenced'")[0][2], "the lease runs out", 30
        )
        assert lease.acquire(connection, "fenced", "b") == 3
        with pytest.raises(OvertakenError):
            lease.renew(connection, "fenced", 2)
        lease.release(connection, "fenced", 2)
        assert read(connection, lease.holder, "fenced") == "b"
        lease.release(connection, "fenced", 3)
        assert read(connection, lease.holder, "fenced") is None
