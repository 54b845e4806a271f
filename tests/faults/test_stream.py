"""The streaming application killed at any moment: nothing lost, nothing twice, sums exact."""

from __future__ import annotations

import os
import random
from pathlib import Path

import psutil
import pytest

from tests.support.fault import FAILPOINTS, MIXED, Load
from tests.support.progress import wait_commits
from tests.support.stack import Stack, wait_until

RANDOM_KILLS = 3


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_killed_between_two_writes(failpoint: str, stack: Stack, produce, verify) -> None:
    before = stack.restarts("stream")
    wish = stack.arm(failpoint)
    produce(*MIXED, "--count", "1500").wait(60)
    wait_until(lambda: not wish.exists(), f"the stream died {failpoint}")
    stack.wait_restarted("stream", before)
    verify()


def test_killed_at_random_moments(stack: Stack, load: Load, dice: random.Random, verify) -> None:
    with load():
        for _ in range(RANDOM_KILLS):
            wait_commits(stack)
            with pytest.raises(psutil.TimeoutExpired):  # it does not end by itself
                stack.process("stream").wait(dice.uniform(0.1, 3))
            stack.kill("stream")
    verify()


def test_jvm_killed_alone(stack: Stack, load: Load, verify) -> None:
    with load():
        before = stack.restarts("stream")
        [jvm] = [p for p in stack.process("stream").children(recursive=True) if p.name() == "java"]
        jvm.kill()
        stack.wait_restarted("stream", before)
    verify()


def test_scratch_checkpoint_garbled(stack: Stack, load: Load, verify) -> None:
    scratch = stack.home.path / "scratch"
    with load():
        wait_until(lambda: any(_files(scratch)), "the query has a checkpoint")
        assert sum(map(_garble, _files(scratch)))
        stack.kill("stream")
    verify()


def _files(scratch: Path) -> list[Path]:
    """What is in the checkpoints; os.walk passes over a folder that the query has just deleted."""
    return [
        Path(folder) / name
        for checkpoint in scratch.glob("checkpoint-*")
        for folder, _, names in os.walk(checkpoint)
        for name in names
    ]


def _garble(path: Path) -> bool:
    """Whether the file could be overwritten: the query may have deleted its folder meanwhile."""
    try:
        path.write_bytes(b"\x00garbled")
    except FileNotFoundError:
        return False
    return True
