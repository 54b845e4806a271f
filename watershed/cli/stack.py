"""``up``, ``down``, ``doctor``, ``destroy``: the life of a local stack."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.prompt import Confirm

from watershed.cli.interruption import Interruption
from watershed.cli.panel import addresses
from watershed.cli.shared import HomePath, PortOffset, fail, out, say
from watershed.errors import StackError
from watershed.operations.readiness import flows, refusals
from watershed.settings import Settings
from watershed.stack import downloads
from watershed.stack.checks import problems
from watershed.stack.downloads import Download
from watershed.stack.home import Home
from watershed.stack.launcher import SUPERVISOR, launch, stop
from watershed.stack.services import BATCH
from watershed.stack.services.producer import EVENT_TYPE
from watershed.stack.state import StackState, read_state, running

Batch = Annotated[
    bool,
    typer.Option("--batch/--no-batch", help="With MariaDB and Airflow, or the speed layer alone."),
]
POLL_S = 0.25
START_TIMEOUT_S = 300


def up(
    home: HomePath,
    port_offset: PortOffset = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when everything runs.")
    ] = False,
    rate: Annotated[
        int,
        typer.Option(help="Transactions a second that are made up; 0: none, send your own.", min=0),
    ] = 100,
    batch: Batch = True,
) -> None:
    """Start everything, and end in a panel of addresses.

    Kafka, Cassandra, PostgreSQL, Valkey and MariaDB start as child processes, then the streaming
    application, a producer of made-up transactions if there is such a contract, then Airflow. Safe
    to repeat: data and secrets stay.
    Without --detach it stays until Ctrl-C, which stops the stack; so it does during the start. It
    exits with 1 when the stack gives up, or its supervisor is killed.
    """
    stack = Home.open(home, port_offset)
    interruption = Interruption()
    if running(stack):
        say(f"already running in {stack.path}")
        stack = Home.open(home)  # with the ports that it was started on
        interruption.listen()
    else:
        _check(stack, batch)
        interruption.listen()
        _start(stack, rate, batch, interruption)
    out.print(addresses(stack))
    if not detach:
        _stay(stack, interruption)


def down(home: HomePath) -> None:
    """Stop everything; data stays. Also cleans up after a launcher that was killed."""
    stack = Home.open(home)
    if not stack.exists:
        say(f"nothing runs: there is no stack in {stack.path}")
        return
    stop(stack)
    say("stopped")


def destroy(
    home: HomePath,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop everything and delete the stack's data, logs and secrets. Asks first."""
    stack = Home.open(home)
    if not stack.exists:
        raise StackError(f"there is no stack in {stack.path}", "name its folder with --home")
    databases = stack.postgres_data, stack.mariadb_data
    folders = dict.fromkeys([stack.path, *databases])
    if not yes and not Confirm.ask(f"Delete all data in {' and '.join(map(str, folders))}?"):
        raise typer.Abort
    stop(stack)
    for data in databases:
        shutil.rmtree(data, ignore_errors=True)
    for path in stack.entries():
        _delete(path)
    if not stack.foreign():
        stack.path.rmdir()
    say("deleted")


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def doctor(home: HomePath, port_offset: PortOffset = None, batch: Batch = True) -> None:
    """Say what is missing before anything starts: space, memory, ports and who uses them."""
    found = problems(Home.open(home, port_offset), batch=batch)
    for problem in found:
        say(f"[red]✗[/] {problem}")
    if missing := downloads.missing(batch=batch):
        say(f"[yellow]·[/] ./ws up will fetch first: {_listed(missing)}")
    if found:
        sys.exit(1)
    say("[green]✓[/] everything that ./ws up needs is here")


def _check(stack: Home, batch: bool) -> None:
    """Find what is missing before anything starts, and fetch what can be fetched."""
    found = problems(stack, batch=batch)
    if found:
        raise StackError("cannot start:\n  " + "\n  ".join(found), "then run ./ws up again")
    if missing := downloads.missing(batch=batch):
        say(f"fetching {_listed(missing)}; once")
        downloads.fetch_all(missing, lambda one: say(f"[green]✓[/] {one.name}"))


def _listed(missing: list[Download]) -> str:
    return ", ".join(map(str, missing))


def _start(stack: Home, rate: int, batch: bool, interruption: Interruption) -> None:
    started, since = time.monotonic(), datetime.now(UTC)
    supervisor = launch(stack, SUPERVISOR, rate, int(batch))
    told: set[str] = set()
    try:
        _follow(stack, supervisor, interruption, told, besides=BATCH)
        _check_going(stack.settings(), since)
        state = read_state(stack)
        if state and "producer" in state.services:
            _wait_for_data(stack, since, interruption)
            say(f"[green]✓[/] events flow, {time.monotonic() - started:.0f} s after the start")
        _follow(stack, supervisor, interruption, told)
    except (KeyboardInterrupt, OSError):  # OSError: there is no terminal any more to write to
        _stop_aloud(stack, supervisor.pid)
        raise


def _follow(
    stack: Home,
    supervisor: subprocess.Popen[bytes],
    interruption: Interruption,
    told: set[str],
    besides: Collection[str] = (),
) -> None:
    """Tell of each service as it gets ready, until all ``besides`` some are; stop on a failure."""
    deadline = time.monotonic() + START_TIMEOUT_S
    state: StackState | None = None
    while not (state and state.is_ready(besides)):
        interruption.pause(POLL_S)
        state = read_state(stack)
        if supervisor.poll() is not None or time.monotonic() > deadline:
            _give_up(stack, supervisor)
        _tell(state, told)


def _tell(state: StackState | None, told: set[str]) -> None:
    for name, service in (state.services if state else {}).items():
        if service.status == "ready" and name not in told:
            told.add(name)
            say(f"[green]✓[/] {name:<21} ready after {service.ready_after_s} s")


def _give_up(stack: Home, supervisor: subprocess.Popen[bytes]) -> None:
    stop(stack, supervisor.pid)
    state = read_state(stack)
    cause = (state and state.error) or f"see {stack.log('supervisor')}"
    fail(f"the stack did not start: {cause}")


def _wait_for_data(stack: Home, since: datetime, interruption: Interruption) -> None:
    """The stack is up when an event went all the way, not when its servers answer."""
    settings = stack.settings()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not flows(settings, EVENT_TYPE, since):
        _check_going(settings, since)
        if time.monotonic() > deadline:
            fail(
                "no event went through all stores: see ./ws status and ./ws logs stream; the stack"
                " still runs, ./ws down stops it"
            )
        interruption.pause(POLL_S)


def _check_going(settings: Settings, since: datetime) -> None:
    """Fail when a contract's stream has refused to go on since the start."""
    for event_type, why in refusals(settings, since).items():
        fail(f"the stack runs, but the stream of {event_type} does not go on: {why}")


def _stay(stack: Home, interruption: Interruption) -> None:
    say("Ctrl-C stops everything")
    try:
        while running(stack):
            interruption.pause(1)
    except KeyboardInterrupt:
        _stop_aloud(stack)
        raise
    _tell_end(read_state(stack))


def _tell_end(state: StackState | None) -> None:
    """Say how a stack ended that another command stopped, or none; then it exits with 1."""
    if state and state.error:
        fail(f"the stack gave up: {state.error}")
    if state and not state.stopped:  # without a state it was deleted, or is started anew
        fail("the supervisor was killed; ./ws down cleans up")
    say("stopped")


def _stop_aloud(stack: Home, supervisor: int | None = None) -> None:
    with contextlib.suppress(OSError):  # nobody may be left to be told
        say("stopping …")
    stop(stack, supervisor)
    with contextlib.suppress(OSError):
        say("stopped")
