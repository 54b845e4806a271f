"""``./ws``: every command, and how it ends."""

from __future__ import annotations

import logging

import typer

from watershed.cli import (
    audit,
    bench,
    develop,
    logs,
    quarantine,
    rebuild,
    repair,
    shells,
    skip_interval,
    stack,
    status,
    trace,
)
from watershed.cli.shared import fail
from watershed.errors import WatershedError
from watershed.parent import end_with
from watershed.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Watershed: a stream of events, answered now and answered right."
    "\n\nStart with [bold]./ws up[/]; look with [bold]./ws status[/]; prove with"
    " [bold]./ws audit[/]; stop with [bold]./ws down[/].",
)

RUN, INSPECT, REPAIR = "Run the stack", "Inspect", "Repair"
SHELLS, DEVELOP = "Shells", "Develop"
app.command(rich_help_panel=RUN)(stack.up)
app.command(rich_help_panel=RUN)(stack.down)
app.command(rich_help_panel=RUN)(stack.doctor)
app.command(rich_help_panel=RUN)(stack.destroy)
app.command(rich_help_panel=INSPECT)(status.status)
app.command(rich_help_panel=INSPECT)(audit.audit)
app.command(rich_help_panel=INSPECT)(logs.logs)
app.command(rich_help_panel=INSPECT)(trace.trace)
app.add_typer(quarantine.app, name="quarantine", rich_help_panel=INSPECT)
app.add_typer(repair.app, name="repair", rich_help_panel=REPAIR)
app.add_typer(rebuild.app, name="rebuild", rich_help_panel=REPAIR)
app.command("skip-interval", rich_help_panel=REPAIR)(skip_interval.skip_interval)
app.command(rich_help_panel=SHELLS, context_settings=shells.PASS_ON)(shells.sql)
app.command(rich_help_panel=SHELLS, context_settings=shells.PASS_ON)(shells.mysql)
app.command(rich_help_panel=SHELLS, context_settings=shells.PASS_ON)(shells.redis)
app.command(rich_help_panel=SHELLS, context_settings=shells.PASS_ON)(shells.cql)
app.command(rich_help_panel=DEVELOP, context_settings=shells.PASS_ON)(develop.test)
app.add_typer(bench.app, name="bench", rich_help_panel=DEVELOP)
app.command(rich_help_panel=DEVELOP)(develop.check)
app.command(rich_help_panel=DEVELOP)(develop.fix)
app.command(rich_help_panel=DEVELOP)(develop.lock)


def main() -> None:
    """Run the command line; an error a person can act on is printed without its stack trace.

    A command that a task of Airflow's started ends with it, also when that was killed.
    """
    for noisy in ("kafka", "cassandra"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # what they say, we say better
    try:
        end_with(load_settings().parent_pid)
        app(prog_name="./ws")
    except WatershedError as error:
        fail(error)
