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


@app.command(context_settings=PASS_ON | {"help_option_names": []})
def ingest(context: typer.Context) -> None:
    """Kafka to Cassandra with everything on: ./ws bench ingest --help."""
    _run("benchmarks.ingest", context.args)


@app.command(context_settings=PASS_ON | {"help_option_names": []})
def enrich(context: typer.Context) -> None:
    """Cassandra to PostgreSQL's staging, enriched: ./ws bench enrich --help."""
    _run("benchmarks.enrich", context.args)


def _run(module: str, arguments: list[str]) -> None:
    """Become the benchmark's program."""
    os.chdir(ROOT)
    os.environ["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", module, *arguments]
    os.execv(command[0], command)
