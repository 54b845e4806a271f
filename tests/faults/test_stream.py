"""The streaming application killed at any moment: nothing lost, nothing twice, sums exact."""

from __future__ import annotations

import os
import random
from pathlib import Path

import psutil
import pytest

from tests.stack import Stack, wait_until
from watershed.stores import control, postgres

FAILPOINTS = (
    "before_quarantine",
    "after_quarantine",
    "after_raw",
    "after_critical",
    "after_commit",
)
RANDOM_KILLS = 3
MIXED = ("--rate", "300", "--duplicates", "0.05", "--invalid", "0.05")


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_killed_between_two_writes(failpoint: str, stack: Stack, produce, verify) -> None:
    before = stack.restarts("stream")
    wish = stack.arm(failpoint)
    produce(*MIXED, "--count", "1500").wait(60)
    wait_until(lambda: not wish.exists(), f"the stream died {failpoint}")
    stack.wait_restarted("stream", before)
    verify()


def test_killed_at_random_moments(stack: Stack, produce, verify) -> None:
    seed = int(os.environ.get("WATERSHED_TEST_SEED", random.randrange(2**32)))
    print(f"seed {seed}: repeat with WATERSHED_TEST_SEED={seed}")
    moments = random.Random(seed)
    source = produce(*MIXED)
    for _ in range(RANDOM_KILLS):
        before = _commits(stack)
        wait_until(lambda before=before: _commits(stack) > before, "a batch is committed")  # type: ignore[misc]
        with pytest.raises(psutil.TimeoutExpired):  # it does not end by itself
            stack.process("stream").wait(moments.uniform(0.1, 3))
        stack.kill("stream")
    source.terminate()
    source.wait(30)
    verify()


def test_jvm_killed_alone(stack: Stack, produce, verify) -> None:
    source = produce(*MIXED)
    before = stack.restarts("stream")
    [jvm] = [p for p in stack.process("stream").children(recursive=True) if p.name() == "java"]
    jvm.kill()
    stack.wait_restarted("stream", before)
    source.terminate()
    source.wait(30)
    verify()


def _commits(stack: Stack) -> int:
    with postgres.connect(stack.settings) as connection:
        return control.sequence(connection, "transaction")


def test_scratch_checkpoint_garbled(stack: Stack, produce, verify) -> None:
    source = produce(*MIXED)
    scratch = stack.home.path / "scratch"
    wait_until(lambda: any(_files(scratch)), "the query has a checkpoint")
    for path in _files(scratch):
        path.write_bytes(b"\x00garbled")
    stack.kill("stream")
    source.terminate()
    source.wait(30)
    verify()


def _files(scratch: Path) -> list[Path]:
    return [path for path in scratch.glob("checkpoint-*/**/*") if path.is_file()]
