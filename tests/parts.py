"""How the two processes of ``./ws test`` share the tests; each has a stack of its own."""

from __future__ import annotations

from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ORDER = ["unit", "faults", "parts of live", "batch", "live"]
"""A part is one process's, and whoever is free takes the next: one the faults, which last as long
as the unit tests and the parts of live, then live; the other the batch tests last, since its stack
has Airflow from then on."""


def part(nodeid: str) -> str:
    """Its tier; of live, whether it needs a server or two, or the whole stack."""
    tier, *rest = Path(nodeid.split("::", maxsplit=1)[0]).parts[1:]
    return "parts of live" if tier == "live" and len(rest) > 1 else tier


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's by scope, which is a part here."""

    def _split_scope(self, nodeid: str) -> str:
        return part(nodeid)
