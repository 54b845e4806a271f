"""Connections that lose their backend at a chosen step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from tests.support.report_world import World
from watershed.settings import Settings
from watershed.stores import postgres


class Dying(Connection):
    """Loses its backend before its ``left``-th statement or commit, or after that commit."""

    left = 0
    kill: Callable[[int], object]

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.kill(self.info.backend_pid)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        return super().cursor(*args, cursor_factory=DyingCursor, **kwargs)

    def commit(self) -> None:
        self.step()
        super().commit()
        self.step()


class DyingCursor(Cursor):
    def execute(self, *args: Any) -> None:
        self.connection.step()
        super().execute(*args)


def steps(settings: Settings, work: Callable[[Connection], object]) -> int:
    """In how many steps the work is done."""
    with postgres.connect(settings, connection_factory=Dying) as connection:
        work(connection)
        return -connection.left  # type: ignore[attr-defined]


def dies(settings: Settings, world: World, step: int, work: Callable[[Connection], object]) -> bool:
    """Whether the work was cut short by the loss of its backend at a step."""
    with postgres.connect(settings, connection_factory=Dying) as connection:
        assert isinstance(connection, Dying)
        connection.kill = lambda pid: world.query("SELECT pg_terminate_backend(%s, 5000)", pid)
        connection.left = step
        try:
            work(connection)
        except psycopg2.Error:
            return True
        return False
