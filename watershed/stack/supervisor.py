"""Starts the services of a stack by readiness, restarts what dies, and stops them all.

One thread follows each service; the main thread waits for SIGTERM, or for a first start that
failed.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time

import psutil

from watershed.errors import StackError, WatershedError
from watershed.stack.home import Home
from watershed.stack.logs import remove_old, trim
from watershed.stack.processes import belonging_to, end_all, hiding, spawn
from watershed.stack.service import Service
from watershed.stack.state import ServiceState, StackState
from watershed.stack.upkeep import keep_up
from watershed.stores.unavailable import UNAVAILABLE

NOT_YET: tuple[type[Exception], ...] = (*UNAVAILABLE, WatershedError)
POLL_S = 0.2
BACKOFF_S = (0.5, 1, 2, 4)
GRACE_S = 6  # a task of Airflow's takes five to end what it has started
HEALTHY_S = 60  # a service that lived this long starts again at the shortest backoff
LOG_LINES = 12
CLEAN_EVERY_S = 3600

log = logging.getLogger("watershed.supervisor")


class Supervisor:
    """Runs ``services`` for ``home`` until it is told to stop."""

    def __init__(self, home: Home, services: list[Service]) -> None:
        self._home = home
        self._services = services
        self._stopping = threading.Event()
        self._ready = {service.name: threading.Event() for service in services}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._state = StackState(
            pid=psutil.Process().pid, services={s.name: ServiceState() for s in services}
        )

    def run(self) -> str:
        """Run until stopped; the error that ended it, empty after an ordinary stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        self._report()
        threads = [threading.Thread(target=self._follow, args=[s]) for s in self._services]
        threads += [
            threading.Thread(target=keep_up, args=[s, self._home, self._stopping, self._lock])
            for s in self._services
            if s.upkeep
        ]
        for thread in threads:
            thread.start()
        clean_at = 0.0
        while not self._stopping.wait(10):
            trim(self._home.logs)
            if time.monotonic() > clean_at:
                remove_old(self._home.logs, time.time())
                clean_at = time.monotonic() + CLEAN_EVERY_S
            self._report()  # once more: the disk may have been full when it was due
        try:
            self._stop()
        finally:
            hiding = [one for name in self._processes for one in self._hiding(name)]
            end_all([*belonging_to(self._home), *hiding])  # also what outlived who started it
        for thread in threads:
            thread.join()
        for service in self._services:  # also those that were never started
            self._report(service, status="stopped", pid=None)
        return self._state.error

    def _follow(self, service: Service) -> None:
        """Keep one service running: the body of its thread."""
        try:
            if self._wait_for_needs(service):
                self._keep_running(service)
        except Exception as error:  # whatever it is, the stack must stop and say so
            if not isinstance(error, WatershedError):
                log.exception("%s", service.name)
            self._fail(f"{service.name}: {error}")

    def _keep_running(self, service: Service) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            how = self._run_once(service, started)
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - started > HEALTHY_S else failures + 1
            self._restart_later(service, how, BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])

    def _run_once(self, service: Service, started: float) -> str:
        """Start a service and wait until it ends; how it ended. Raises what a first start does."""
        first = not self._ready[service.name].is_set()
        try:
            process = self._start(service)
        except OSError as error:
            if first:
                raise
            return f"could not be started: {error}"  # its disk is full: there may be room later
        if process is None:
            return "was not started: the stack stops"
        if self._become_ready(service, process, started):
            process.wait()
        elif first and not self._stopping.is_set():
            raise StackError(
                f"ended with {process.wait()} before it was ready{self._tail(service)}"
            )
        return f"ended with {process.returncode}"

    def _start(self, service: Service) -> subprocess.Popen[bytes] | None:
        """Start the program; None when the stack stops instead."""
        # A killed one's children may go on: with tasks of Airflow's, which would be done twice.
        end_all([*belonging_to(self._home, service.name), *self._hiding(service.name)], GRACE_S)
        service.prepare()
        with self._lock:  # a stop must see every process that was started
            if self._stopping.is_set():
                return None
            process = spawn(service, self._home)
            self._processes[service.name] = process
        self._report(service, status="starting", pid=process.pid)
        return process

    def _hiding(self, name: str) -> list[psutil.Process]:
        """What a service's last process may have left that does not show whose it is."""
        last = self._processes.get(name)
        return hiding(last.pid) if last else []

    def _become_ready(
        self, service: Service, process: subprocess.Popen[bytes], started: float
    ) -> bool:
        """Wait until the service answers; False when it ended or the stack stops first."""
        deadline = started + service.ready_timeout_s
        while not self._answers(service):
            if process.poll() is not None or self._stopping.wait(service.poll_s):
                return False
            if time.monotonic() > deadline and not self._ready[service.name].is_set():
                raise StackError(
                    f"not ready after {service.ready_timeout_s:.0f} s{self._tail(service)}"
                )
        if not self._ready[service.name].is_set():
            service.after()
            self._ready[service.name].set()
        took = round(time.monotonic() - started, 1)
        log.info("%s is ready after %s s", service.name, took)
        self._report(service, status="ready", ready_after_s=took)
        return True

    def _answers(self, service: Service) -> bool:
        try:
            return service.ready()
        except NOT_YET:
            return False

    def _restart_later(self, service: Service, how: str, wait_s: float) -> None:
        log.warning("%s %s; restart in %s s", service.name, how, wait_s)
        restarts = self._state.services[service.name].restarts + 1
        self._report(service, status="restarting", pid=None, restarts=restarts)
        self._stopping.wait(wait_s)

    def _wait_for_needs(self, service: Service) -> bool:
        for need in service.needs:
            while not self._ready[need].wait(POLL_S):
                if self._stopping.is_set():
                    return False
        return True

    def _stop(self) -> None:
        """Stop programs before the servers they use, the servers side by side."""
        with self._lock:
            programs = [s for s in reversed(self._services) if s.needs]
            servers = [s for s in self._services if not s.needs]
        for group in (programs, servers):
            for service in group:
                self._signal(service, service.stop_signal)
            for service in group:
                self._wait_ended(service)
        self._report()

    def _signal(self, service: Service, number: signal.Signals) -> None:
        process = self._processes.get(service.name)
        if process is not None and process.poll() is None:
            log.info("stopping %s", service.name)
            process.send_signal(number)

    def _wait_ended(self, service: Service) -> None:
        process = self._processes.get(service.name)
        if process is None:
            return
        try:
            process.wait(service.stop_timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop in %s s: killed", service.name, service.stop_timeout_s)
            end_all([psutil.Process(process.pid)], GRACE_S)
        self._report(service, status="stopped", pid=None)

    def _fail(self, message: str) -> None:
        log.error("%s", message)
        with self._lock:
            self._state.error = self._state.error or message  # the first cause, not its echoes
        self._stopping.set()

    def _report(self, service: Service | None = None, **changes: object) -> None:
        with self._lock:
            if service is not None:
                vars(self._state.services[service.name]).update(changes)
            try:
                self._state.write(self._home)
            except OSError as error:  # a full disk must not keep a stack from being stopped
                log.warning("state not written: %s", error)

    def _tail(self, service: Service) -> str:
        lines = self._home.log(service.name).read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "".join(
            f"\n    {line}" for line in [f"its last lines ({service.name}.log):", *lines]
        )
