"""How the two processes of ``./ws test`` share the tests; each has a stack of its own."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ORDER = ["unit", "faults", "early", "batch", "live", "late"]
"""A part is one process's, and whoever has but two tests left takes the next one: as they last, one
process has the faults, then the rest of live; the other the unit tests, the early ones of live and
the batch tests. ``late`` comes after live whatever they last, since nothing comes after batch."""
EARLY = "tests/live/jobs/enrich/"
"""So much of live that the two processes end about together; its tests read all that the stack
has stored, which is less before the faults."""
LATE = "tests/faults/test_backlog.py"
"""What it stores, every audit after it reads."""


def part(nodeid: str) -> str:
    """Its tier, or that it is early or late."""
    if nodeid.startswith(EARLY):
        return "early"
    return "late" if nodeid.startswith(LATE) else nodeid.split("/")[1]


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's by scope, which is a part here."""

    def _split_scope(self, nodeid: str) -> str:
        return part(nodeid)

    def _reschedule(self, node: WorkerController) -> None:
        """Nothing comes after the batch tests: from then on their process's stack has Airflow."""
        if "batch" not in self.assigned_work[node]:
            super()._reschedule(node)
        elif not node.shutting_down:
            node.shutdown()
