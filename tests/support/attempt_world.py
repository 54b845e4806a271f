"""An attempt in a scratch database, its job, and what its staging table must hold."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from tests.support.postgres import read
from tests.support.spark import JOB, run
from tests.support.stack import Stack
from watershed.batch import attempts, staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.contracts.model import Contract
from watershed.contracts.query import read_query
from watershed.settings import Settings
from watershed.stores import cassandra, postgres, reference

COLUMNS = (
    "topic_id, kafka_partition, kafka_offset, arrival_time, transaction_id, event_time, branch,"
    " currency, amount"
)


def copy_rows(source: Settings, target: Connection, table: str) -> None:
    """Put a table's rows in the place of those that a scratch database has."""
    name = sql.Identifier(*table.split("."))
    rows = io.BytesIO()
    with postgres.connect(source) as connection:
        connection.cursor().copy_expert(sql.SQL("COPY {} TO STDOUT").format(name), rows)
    rows.seek(0)
    with target:
        target.cursor().execute(sql.SQL("TRUNCATE {} CASCADE").format(name))
        target.cursor().copy_expert(sql.SQL("COPY {} FROM STDIN").format(name), rows)


@dataclass(frozen=True)
class World:
    """The stack's raw store, with a database and a lake of the test's own."""

    stack: Stack
    settings: Settings
    contract: Contract
    connection: Connection

    def intervals(self, width: timedelta) -> list[Interval]:
        """Everything that arrived, in intervals of a width; the last one is empty."""
        cursor = self.connection.cursor()
        cursor.execute(
            "SELECT min(arrival_min), max(arrival_max) FROM control.stream_batch WHERE type = %s",
            [self.contract.type],
        )
        first, last = cursor.fetchone() or (None, None)
        self.connection.rollback()
        assert first is not None
        start = datetime.fromtimestamp(first.timestamp() // 60 * 60, UTC)
        count = (last - start) // width + 2
        return [Interval(start + n * width, start + (n + 1) * width) for n in range(count)]

    def begin(self, intervals: list[Interval], query_sha256: str = "") -> Attempt:
        """Begin an attempt, with the query as it is unless another digest is given."""
        query = read_query(self.settings.schemas_dir, self.contract.type)
        number = read(self.connection, reference.newest).snapshot
        digest = query_sha256 or query.sha256
        begin = attempts.begin
        return read(self.connection, begin, self.contract, intervals, number, digest, "test")

    def load(self, attempt: Attempt, code: int = 0, **environment: str) -> str:
        """Run the attempt's job; its log."""
        command = (JOB, "--attempt", str(attempt.attempt))
        return run(self.stack, self.settings, *command, code=code, **environment)[1]

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.connection:
            cursor = self.connection.cursor()
            cursor.execute(statement, values)
            return cursor.fetchall()

    def staged(self, attempt: Attempt, columns: str) -> list[tuple[Any, ...]]:
        """Columns of the staging table, in the order of the first three of them."""
        table = f"staging.{staging_table.name(attempt)}"
        return self.query(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3")

    def noted(self, attempt: Attempt) -> list[tuple[Any, ...]]:
        """What the attempt says of each interval."""
        return self.query(
            "SELECT start_at, events, repeated, unmatched FROM control.attempt_interval"
            " WHERE attempt = %s ORDER BY start_at",
            attempt.attempt,
        )

    def raw(self, interval: Interval) -> list[tuple[Any, ...]]:
        """Every raw row that arrived in an interval, in the order of its key."""
        with cassandra.connect(self.settings) as session:
            rows = session.execute(f"SELECT {COLUMNS} FROM events.{self.contract.type}")
            found = [(*row[:3], row[3].replace(tzinfo=UTC), *row[4:]) for row in rows]
        return sorted(row for row in found if interval.start <= row[3] < interval.end)

    def firsts(self, intervals: list[Interval]) -> set[tuple[Any, ...]]:
        """The places of those events that are the first of their id in their interval."""
        found: set[tuple[Any, ...]] = set()
        for interval in intervals:
            by_id = defaultdict(list)
            for row in self.raw(interval):
                by_id[row[4]].append((row[3], *row[:3]))
            found |= {min(places)[1:] for places in by_id.values()}
        return found
