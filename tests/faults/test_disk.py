"""A full disk: servers end, and come back by themselves once there is room again."""

from __future__ import annotations

import time

import pytest

from tests.support.fault import Load
from tests.support.stack import Stack, ended, wait_until

SERVERS = ("kafka", "cassandra", "postgres")
FULL_S = 15.0  # long enough for what was restarted to fail again


def test_full_disk(stack: Stack, load: Load, verify) -> None:
    if not stack.has_disk:
        pytest.skip("needs root and the right to mount: the home has no disk of its own to fill")
    servers = [stack.process(name) for name in SERVERS]
    with load(), stack.full_disk():
        wait_until(lambda: any(map(ended, servers)), "a server ended")
        time.sleep(FULL_S)
    verify()
