"""Programs that Airflow's own Python runs for tests, and what they print."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from watershed.stack.airflow_environment import airflow_environment
from watershed.stack.home import ROOT

PROGRAMS = ROOT / "tests" / "support" / "programs"


def describe(home: Path, folder: Path = ROOT / "dags", **variables: str) -> Any:
    """What Airflow finds in a folder of DAGs; ``home`` is a scratch folder of its own."""
    return printed(home, PROGRAMS / "describe_dags.py", folder, **variables)


def printed(home: Path, script: Path, *arguments: Path, **variables: str) -> Any:
    """What a script, run by Airflow's Python, prints as JSON."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_SPARK": json.dumps({"conn_type": "spark", "host": "local[2]"}),
        "WATERSHED_SCHEMAS_DIR": str(ROOT / "schemas"),
        "WATERSHED_SPARK_JARS": "jars/*",
        **variables,
    }
    done = subprocess.run(
        [airflow_environment() / "bin" / "python", script, *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
