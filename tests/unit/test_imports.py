"""Importing a module does nothing: it reads no environment, connects to nothing, parses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from watershed.stack.home import ROOT

PACKAGES = ("watershed", "jobs", "producers", "benchmarks")
NEEDS_AIRFLOW = "watershed.orchestration."


def test_importing_does_nothing() -> None:
    program = [
        sys.executable,
        str(ROOT / "tests" / "support" / "programs" / "import_all.py"),
        *PACKAGES,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["did"] == []
    assert all(name.startswith(NEEDS_AIRFLOW) for name in found["skipped"])
    assert sorted(found["imported"] + found["skipped"]) == sorted(_modules())


def _modules() -> list[str]:
    """Every module by its file; Alembic alone runs its migrations."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    return [
        name.removesuffix(".__init__")
        for name in names
        if not name.endswith("__main__") and ".migrations." not in name
    ]
