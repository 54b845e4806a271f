"""What the DAG ``audit`` makes of what ``./ws audit --json`` found."""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from watershed.orchestration import messages

LINES = 5
"""So much of an output is shown that is no audit's."""


def judge_audit(code: int, output: str) -> dict[str, Any]:
    """That every check of ``./ws audit --json`` held. Raises AirflowFailException when one did not,
    RuntimeError, so that it is tried again, when none was made."""
    faults = messages.audit_faults(output) if code in (0, 1) else None
    if faults is None:
        last = "".join(f"\n  {line}" for line in output.splitlines()[-LINES:])
        raise RuntimeError(f"the audit could not be made: exit code {code}; its log is above{last}")
    if faults:
        raise AirflowFailException(
            "the audit does not hold:\n  " + "\n  ".join(faults) + "\n  -> docs/operate.md, Audit"
        )
    return {"ok": True}
