"""Half an hour's events waiting: drained without more memory than the stream was given."""

from __future__ import annotations

from tests.support.progress import is_caught_up
from tests.support.stack import Stack, wait_until
from watershed.stack.processes import memory_bytes

BACKLOG = 30 * 60 * 100
MB = 2**20
# Beside its heap the JVM keeps classes (150 MB), compiled code, threads and network buffers; Python
# takes 110 MB. Together 310 to 430 MB were measured.
BESIDE_HEAP_MB = 600


def test_backlog_is_drained_in_bounded_memory(stack: Stack, produce, verify) -> None:
    with stack.away("stream"):
        source = produce("--rate", "0", "--count", str(BACKLOG))
        out, _ = source.communicate(timeout=150)
        assert source.returncode == 0, out
    memory: list[int] = []

    def drained() -> bool:
        memory.append(memory_bytes(stack.process("stream").pid))
        return is_caught_up(stack)

    wait_until(drained, "the backlog is drained", timeout_s=120)
    print(f"largest of {len(memory)} samples: {max(memory) // MB} MB")
    assert max(memory) < (stack.settings.spark_driver_memory_mb + BESIDE_HEAP_MB) * MB
    verify()
