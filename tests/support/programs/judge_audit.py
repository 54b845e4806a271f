"""Prints what becomes of an audit's exit codes and outputs: run by Airflow's Python.

    python judge.py FILE

FILE has a JSON list of pairs; printed is a list of the exception's name, or "", and its message.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from watershed.orchestration.audit import judge_audit


def judged(code: int, output: str) -> tuple[str, str]:
    try:
        return "", json.dumps(judge_audit(code, output))
    except Exception as error:
        return type(error).__name__, str(error)


if __name__ == "__main__":
    print(json.dumps([judged(*load) for load in json.loads(Path(sys.argv[1]).read_text())]))
