"""The processes of a stack: started with its mark, found by it, ended as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from pwd import struct_passwd
from typing import Any

import psutil

from watershed.stack.home import ROOT, Home
from watershed.stack.java import java_home
from watershed.stack.service import Service

MARK = "WATERSHED_STACK"
"""The variable in a child's environment that names the home it belongs to."""

SERVICE_MARK = "WATERSHED_SERVICE"
"""The one that names the service which started it, or is it."""

KEPT = ("HOME", "JAVA_TOOL_OPTIONS", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "USER")
END_TIMEOUT_S = 20


def spawn(service: Service, home: Home) -> subprocess.Popen[bytes]:
    """Start a service in a session of its own, with its output in its log."""
    with home.log(service.name).open("ab") as log:
        return subprocess.Popen(
            service.command,
            env=environment(home) | service.env | {SERVICE_MARK: service.name},
            cwd="/" if service.user else home.logs,  # where a JVM that crashes leaves its report
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **as_user(service.user),
        )


def as_user(user: struct_passwd | None) -> dict[str, Any]:
    """What ``subprocess`` needs to run a program as ``user``; None: as this process's own."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def environment(home: Home) -> dict[str, str]:
    """What a service sees: the stack's settings, Java, a usual PATH, and the stack's mark."""
    settings = dict(
        line.split("=", 1) for line in (home.path / "settings.env").read_text().splitlines()
    )
    own = {key: value for key, value in os.environ.items() if key.startswith("WATERSHED_")}
    return {
        **{key: os.environ[key] for key in KEPT if key in os.environ},
        **settings,
        **own,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "JAVA_HOME": str(java_home()),
        "TMPDIR": str(home.scratch),
        MARK: str(home.path),
    }


def belonging_to(home: Home, service: str | None = None) -> list[psutil.Process]:
    """Every process that carries the stack's mark: its services and theirs, not its supervisor.

    With ``service`` only that one and what it started.
    """
    marks = {MARK: str(home.path)} | ({SERVICE_MARK: service} if service else {})
    return [one for one in psutil.process_iter() if marks.items() <= _environment(one).items()]


def hiding(session: int) -> list[psutil.Process]:
    """Those of a session that only root may look at, as Airflow's workers: they show no mark.

    ``session`` is the pid of the service that led it. Nothing hides from root.
    """
    return [process for process in psutil.process_iter() if _hides_in(process, session)]


def _hides_in(process: psutil.Process, session: int) -> bool:
    try:
        process.environ()
    except psutil.AccessDenied:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            return process.uids().real == os.getuid() and os.getsid(process.pid) == session
    except psutil.NoSuchProcess:
        pass  # it has ended
    return False


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return {}  # another user's, or gone meanwhile: not ours


def end_all(processes: Iterable[psutil.Process], timeout_s: float = END_TIMEOUT_S) -> None:
    """Ask processes to end, with what they started; make those that do not in time."""
    family = {member for process in processes for member in _with_children(process)}
    for process in family:
        _send(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=timeout_s)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=END_TIMEOUT_S)


def freed_bytes(processes: Iterable[psutil.Process]) -> int:
    """Memory that ending processes would free: their own pages, not those of files they share."""
    return sum(map(_anonymous, processes))


def _anonymous(process: psutil.Process) -> int:
    try:
        held = process.memory_info()
    except psutil.NoSuchProcess:
        return 0  # what it held is free already
    return int(held.rss - held.shared)


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # it ended by itself, which is what was wanted


def memory_bytes(pid: int) -> int:
    """Proportional set size of a process and all below it: shared pages are counted once."""
    try:
        return sum(map(_pss, _with_children(psutil.Process(pid))))
    except psutil.NoSuchProcess:
        return 0  # it has just ended; its restart shows in the status


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def listener(port: int) -> str | None:
    """Who listens on a loopback port: ``name (pid N)``, None when it is free."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
            return _name(connection.pid)
    return None


def _name(pid: int | None) -> str:
    if pid is None:
        return "another user's process"
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.NoSuchProcess:
        return f"pid {pid}"
