"""The topic that everything is measured on: transactions, some invalid, some repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from watershed.errors import WatershedError
from watershed.settings import Settings
from watershed.stack.home import ROOT

SHARE = "0.01"
"""Of invalid records, and of repeated ones."""


def producer(settings: Settings, *options: str) -> subprocess.Popen[str]:
    """Start ``producers.transactions`` with the benchmark's shares and these options."""
    return subprocess.Popen(
        [sys.executable, "-m", "producers.transactions", "--broker", settings.kafka_brokers,
         "--invalid", SHARE, "--duplicates", SHARE, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def fill(settings: Settings, events: int, processes: int, seed: int = 0) -> None:
    """Write ``events`` as fast as they can be made; another ``seed`` gives other ones.

    Raises WatershedError when a producer fails.
    """
    shares = [events * (n + 1) // processes - events * n // processes for n in range(processes)]
    started = [
        producer(settings, "--rate", "0", "--count", str(count), "--seed", str(each))
        for each, count in enumerate(shares, seed)
        if count  # 0 would be without end
    ]
    for process in started:
        finish(process)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait until a producer has ended by itself."""
    printed, _ = process.communicate()
    if process.returncode:
        raise WatershedError(f"the producer failed: {printed[-600:]}")


def ack_log(settings: Settings) -> Path:
    """Where the latency's producer notes what Kafka acknowledged."""
    return settings.scratch_dir / "acknowledged.jsonl"
