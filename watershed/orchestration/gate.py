"""The gate: an enrichment waits, without a worker, until what it reads is complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent
from psycopg2 import OperationalError
from psycopg2.extensions import cursor as Cursor

from watershed.errors import StoreError
from watershed.orchestration import messages, schedule
from watershed.settings import load_settings
from watershed.speed import progress
from watershed.stores import postgres, reference

POLL_S = 2.0


class Gate(BaseOperator):
    """Succeeds once the contract's raw store is complete up to the end of the run's range, and
    there is a snapshot of the reference data; fails with what is missing after ``timeout_s``."""

    def __init__(self, *, event_type: str, interval_s: int, timeout_s: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.event_type = event_type
        self.interval_s = interval_s
        self.timeout_s = timeout_s

    def execute(self, context: Context) -> None:
        key = context.get("partition_key")
        asked = schedule.asked(self.event_type, context["params"], key, self.interval_s)
        until = asked.range.end if asked.range else None
        why = missing_now(self.event_type, until)
        if why is None:
            return
        self.log.info("waits up to %s s: %s", self.timeout_s, why)
        deadline = datetime.now(UTC) + timedelta(seconds=self.timeout_s)
        self.defer(
            trigger=Complete(
                event_type=self.event_type,
                until=until.isoformat() if until else None,
                deadline=deadline.isoformat(),
            ),
            method_name="give_up",
        )

    def give_up(self, context: Context, event: str) -> None:  # noqa: ARG002  # Airflow passes it
        """Called when the trigger had waited long enough: ``event`` says for what."""
        raise AirflowFailException(f"waited {self.timeout_s} s: {event}")


class Complete(BaseTrigger):
    """Ends its task in success when nothing is missing; times are RFC 3339, ``until`` may be None.

    PostgreSQL is asked in a thread: the triggerer's event loop is shared.
    """

    def __init__(self, event_type: str, until: str | None, deadline: str) -> None:
        super().__init__()
        self.event_type = event_type
        self.until = until
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, from which another triggerer makes it again."""
        arguments = {key: getattr(self, key) for key in ("event_type", "until", "deadline")}
        return f"{type(self).__module__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        until = datetime.fromisoformat(self.until) if self.until else None
        deadline = datetime.fromisoformat(self.deadline)
        while why := await asyncio.to_thread(missing_now, self.event_type, until):
            if datetime.now(UTC) > deadline:
                yield TriggerEvent(why)
                return
            await asyncio.sleep(POLL_S)  # the watermark is a row: nobody tells when it moves
        yield TaskSuccessEvent()


def missing_now(event_type: str, until: datetime | None) -> str | None:
    """What is still missing, also when PostgreSQL is away; None when nothing is."""
    try:
        with (
            postgres.connect(load_settings()) as connection,
            postgres.transaction(connection) as cursor,
        ):
            return missing(cursor, event_type, until)
    except OperationalError as error:
        return f"PostgreSQL does not answer: {error}"


def missing(cursor: Cursor, event_type: str, until: datetime | None) -> str | None:
    """What an enrichment up to ``until`` lacks; None when nothing."""
    watermark = progress.complete_until(cursor, event_type)
    return messages.incomplete(event_type, watermark, until, _has_snapshot(cursor))


def _has_snapshot(cursor: Cursor) -> bool:
    try:
        reference.newest(cursor)
    except StoreError:
        return False
    return True
