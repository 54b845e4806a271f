"""``bench``: what Watershed is measured by."""

from __future__ import annotations

import os
import sys

import typer

from watershed.cli.shells import PASS_ON
from watershed.stack.home import ROOT

app = typer.Typer(
    no_args_is_help=True,
    help="Measure, on a stack of its own that is gone afterwards. Prints rates, ratios to other"
    " ways in the same run, the date and the machine.",
)


@app.callback()
def commands() -> None:
    """Without this, one command alone would take its group's place."""


@app.command(context_settings=PASS_ON | {"help_option_names": []})
def ingest(context: typer.Context) -> None:
    """Kafka to Cassandra with everything on: ./ws bench ingest --help."""
    os.chdir(ROOT)
    os.environ["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "benchmarks.ingest", *context.args]
    os.execv(command[0], command)
