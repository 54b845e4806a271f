"""``up``, ``down``, ``doctor``, ``destroy``: the life of a local stack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.panel import Panel
from rich.prompt import Confirm
from rich.table import Table

from watershed.cli.shared import HOME, HomePath, PortOffset, fail, out, say
from watershed.errors import StackError
from watershed.stack import jars
from watershed.stack.checks import problems
from watershed.stack.home import ENTRIES, ROOT, Home
from watershed.stack.processes import belonging_to, end_all
from watershed.stack.state import StackState, read_state, running
from watershed.status import flows

POLL_S = 0.25
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 150


def up(
    home: HomePath = HOME,
    port_offset: PortOffset = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when everything runs.")
    ] = False,
    rate: Annotated[
        int,
        typer.Option(help="Transactions a second that are made up; 0: none, send your own.", min=0),
    ] = 100,
) -> None:
    """Start everything, and end in a panel of addresses.

    Kafka, Cassandra, PostgreSQL and Valkey start as child processes, then the streaming
    application and a producer of transactions. Safe to repeat: data and secrets stay.
    Without --detach it stays until Ctrl-C, which stops the stack.
    """
    stack = Home.open(home, port_offset)
    if running(stack):
        say(f"already running in {stack.path}")
        stack = Home.open(home)  # with the ports that it was started on
    else:
        _start(stack, rate)
    out.print(_panel(stack))
    if not detach:
        _stay(stack)


def down(home: HomePath = HOME) -> None:
    """Stop everything; data stays. Also cleans up after a launcher that was killed."""
    stack = Home.open(home)
    if not stack.exists:
        say(f"nothing runs: there is no stack in {stack.path}")
        return
    _stop(stack)
    say("stopped")


def destroy(
    home: HomePath = HOME,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop everything and delete the stack's data, logs and secrets. Asks first."""
    stack = Home.open(home)
    if not stack.exists:
        raise StackError(f"there is no stack in {stack.path}", "name its folder with --home")
    folders = dict.fromkeys([stack.path, stack.postgres_data])
    if not yes and not Confirm.ask(f"Delete all data in {' and '.join(map(str, folders))}?"):
        raise typer.Abort
    _stop(stack)
    shutil.rmtree(stack.postgres_data, ignore_errors=True)
    for name in ENTRIES:
        _delete(stack.path / name)
    if not stack.foreign():
        stack.path.rmdir()
    say("deleted")


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def doctor(home: HomePath = HOME, port_offset: PortOffset = None) -> None:
    """Say what is missing before anything starts: space, memory, ports and who uses them."""
    found = problems(Home.open(home, port_offset))
    for problem in found:
        say(f"[red]✗[/] {problem}")
    if found:
        sys.exit(1)
    say("[green]✓[/] everything that ./ws up needs is here")


def _start(stack: Home, rate: int) -> None:
    found = problems(stack)
    if found:
        raise StackError("cannot start:\n  " + "\n  ".join(found), "then run ./ws up again")
    missing = jars.missing()
    if missing:
        say(f"fetching the jars of {', '.join(missing)} (once; about 120 MB)")
        jars.fetch_all()
    started = time.monotonic()
    process = _launch(stack, rate)
    _follow(stack, process)
    if rate:
        _wait_for_data(stack)
        say(f"[green]✓[/] events flow, {time.monotonic() - started:.0f} s after the start")


def _launch(stack: Home, rate: int) -> subprocess.Popen[bytes]:
    (stack.run / "state.json").unlink(missing_ok=True)  # the last run's says nothing of this one
    arguments = stack.path, stack.port_offset, rate
    with stack.log("supervisor").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "watershed.stack.supervisor", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _follow(stack: Home, process: subprocess.Popen[bytes]) -> None:
    """Tell of each service as it gets ready; stop everything on Ctrl-C or a failure."""
    told: set[str] = set()
    deadline = time.monotonic() + START_TIMEOUT_S
    state: StackState | None = None
    try:
        while not (state and state.ready):
            state = read_state(stack)
            if process.poll() is not None or time.monotonic() > deadline:
                _give_up(stack, state)
            _tell(state, told)
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        _stop(stack)
        raise


def _tell(state: StackState | None, told: set[str]) -> None:
    for name, service in (state.services if state else {}).items():
        if service.status == "ready" and name not in told:
            told.add(name)
            say(f"[green]✓[/] {name:<10} ready after {service.ready_after_s} s")


def _give_up(stack: Home, state: StackState | None) -> None:
    _stop(stack)
    state = read_state(stack) or state
    cause = (state and state.error) or f"see {stack.log('supervisor')}"
    fail(f"the stack did not start: {cause}")


def _wait_for_data(stack: Home) -> None:
    """The stack is up when an event went all the way, not when its servers answer."""
    settings = stack.settings()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not flows(settings):
        if time.monotonic() > deadline:
            fail("no event went through all stores: see ./ws status and ./ws logs stream")
        time.sleep(POLL_S)


def _stay(stack: Home) -> None:
    say("Ctrl-C stops everything")
    try:
        while running(stack):
            time.sleep(1)
    except KeyboardInterrupt:
        say("stopping …")
        _stop(stack)
        say("stopped")


def _stop(stack: Home) -> None:
    """End the supervisor, which ends the rest; then whatever a killed one left behind."""
    state = read_state(stack)
    if state and running(stack):
        _end_supervisor(state.pid)
    end_all(belonging_to(stack))


def _end_supervisor(pid: int) -> None:
    try:
        supervisor = psutil.Process(pid)
        supervisor.terminate()
        supervisor.wait(STOP_TIMEOUT_S)
    except psutil.NoSuchProcess:
        return  # it ended meanwhile
    except psutil.TimeoutExpired:
        supervisor.kill()


def _panel(stack: Home) -> Panel:
    ports = stack.ports
    rows = {
        "Kafka": f"127.0.0.1:{ports.kafka}   topic transaction",
        "Cassandra": f"127.0.0.1:{ports.cassandra}   ./ws cql",
        "PostgreSQL": f"127.0.0.1:{ports.postgres}   ./ws sql",
        "Redis": f"127.0.0.1:{ports.redis}   ./ws redis",
        "Spark": f"http://127.0.0.1:{ports.spark_ui}",
        "now": "./ws status",
        "true": "./ws audit",
        "logs": "./ws logs stream -f",
        "stop": "./ws down",
        "home": f"{stack.path}   passwords in secrets/",
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    return Panel(table, title="Watershed runs", border_style="green", expand=False)
