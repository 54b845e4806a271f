"""The processes of Airflow's tasks, and what PostgreSQL lets them wait for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
from psycopg2.extensions import connection as Connection

from tests.support.airflow import Run
from tests.support.stack import Stack, wait_until
from watershed.stores import postgres


def spark(stack: Stack) -> list[psutil.Process]:
    """Every process of a job that enriches, JVM and Python, on this stack."""
    return [process for process in psutil.process_iter() if _enriches(process, stack)]


def _enriches(process: psutil.Process, stack: Stack) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        if any(word.endswith("enrich_intervals.py") for word in process.cmdline()):
            return process.environ().get("WATERSHED_HOME") == str(stack.home.path)
    return False


def drivers(stack: Stack) -> list[psutil.Process]:
    """The jobs' Python."""
    return [one for one in spark(stack) if "python" in one.name()]


def wait_no_spark(stack: Stack) -> None:
    """Wait until no process of a job that enriches is left."""
    wait_until(lambda: not spark(stack), "no Spark is left", 20)


def kill_task(run: Run, task: str) -> None:
    """SIGKILL the process that runs a task: it can neither clean up nor say anything."""
    title = f"airflow worker -- {run.tasks()[task]['id']}"
    found = [one for one in psutil.process_iter() if _title(one) == title]
    assert len(found) == 1, f"{title}: {found}"
    found[0].send_signal(signal.SIGKILL)


def _title(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline()).rstrip()
    return ""


@contextmanager
def held(stack: Stack, table: str, mode: str) -> Iterator[None]:
    """Keep a table locked: who needs it waits."""
    with postgres.connect(stack.settings, application_name="test") as connection:
        connection.cursor().execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield
        connection.rollback()


def lose_a_row(stack: Stack, attempt: int) -> None:
    """Delete a row of an attempt's staging table between its load and its check; no other has
    its id.

    The check, which lets nobody write meanwhile, waits for this transaction; the load does not.
    """
    table = f"staging.transaction_{attempt}"
    with postgres.connect(stack.settings, application_name="test") as connection:
        cursor = connection.cursor()
        wait_until(lambda: _is_there(connection, table), f"{table} is there", 120)
        cursor.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        wait_blocked(stack, table)
        cursor.execute(
            f"DELETE FROM {table} WHERE transaction_id = (SELECT transaction_id FROM {table}"
            " GROUP BY 1 HAVING count(*) = 1 LIMIT 1)"
        )
        assert cursor.rowcount == 1
        connection.commit()


def _is_there(connection: Connection, table: str) -> bool:
    with connection:
        cursor = connection.cursor()
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
        return cursor.fetchone() == (True,)


def wait_blocked(stack: Stack, table: str) -> None:
    """Wait until somebody waits for a lock on a table."""

    def is_blocked() -> bool:
        with postgres.connect(stack.settings) as connection:
            cursor = connection.cursor()
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted",
                [table],
            )
            return cursor.fetchone() != (0,)

    wait_until(is_blocked, f"a task waits for {table}", 120)
