"""The statements that put one interval of an attempt in place of what was published of it.

All run in the publisher's transaction. A *rival* is a fact of another interval that has the id of
an event, and arrived within the contract's lookback of it: the event is then a duplicate, whichever
of the two came first, since what is published stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.batch import aggregates, facts, report_table, staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import DAY_S, Interval
from watershed.contracts.derived import EVENT_COUNT
from watershed.contracts.model import Contract
from watershed.speed import flow
from watershed.stores.sql_types import identifiers, listed

EXAMPLES = 5


class Conflicts(NamedTuple):
    """Duplicates with other content than the event they repeat: how many in the interval, how many
    were not known yet, and ids of a few of those."""

    all: int
    new: int
    event_ids: list[str]


@dataclass(frozen=True)
class PublishTarget:
    """What is replaced: an interval of a contract, from an attempt."""

    contract: Contract
    attempt: Attempt
    interval: Interval

    @property
    def names(self) -> dict[str, sql.Composable]:
        """Names in the statements."""
        contract, measure = self.contract, self.contract.measure[0]
        return {
            "fact": facts.table(contract),
            "staging": staging_table.table(self.attempt),
            "interval": aggregates.interval(contract).identifier,
            "flow": sql.Identifier("speed", flow.flow_table(contract)),
            "window": sql.Identifier(contract.flow.window_column),
            "id": sql.Identifier(contract.event_id),
            "time": sql.Identifier(contract.event_time),
            "field": sql.Identifier(contract.measure[1]),
            "fields": identifiers(contract.flow.group_by.values()),
            "groups": identifiers(contract.flow.group_by),
            "measure": sql.Identifier(measure),
            "count": sql.Identifier(EVENT_COUNT),
            "unexplained": aggregates.unexplained(contract),
        }

    @property
    def values(self) -> dict[str, Any]:
        """Values in the statements; facts of ``[first, last]`` may lie within the lookback."""
        start, end = self.interval
        lookback = timedelta(hours=self.contract.lookback_hours)
        return {
            "type": self.contract.type,
            "attempt": self.attempt.attempt,
            "start": start,
            "end": end,
            "lookback": lookback,
            "first": start - lookback - timedelta(seconds=DAY_S),
            "last": end + lookback,
            "examples": EXAMPLES,
        }

    def run(self, cursor: Cursor, statement: str, **names: sql.Composable) -> None:
        """Run a statement."""
        cursor.execute(sql.SQL(statement).format(**self.names, **names), self.values)

    def row(self, cursor: Cursor, statement: str) -> Any:
        """The one row that a statement returns."""
        self.run(cursor, statement)
        return cursor.fetchone()


def find_rivals(cursor: Cursor, target: PublishTarget) -> None:
    """Make the table ``rival`` of this transaction: events' ids, and the payload that counts.

    The bounds on the fact's interval let the planner leave out all other months.
    """
    target.run(
        cursor,
        "CREATE TEMPORARY TABLE rival ON COMMIT DROP AS"
        " SELECT DISTINCT ON (fact.{id}) fact.{id} AS event_id, fact.payload_hash"
        " FROM {staging} AS event JOIN {fact} AS fact ON fact.{id} = event.{id}"
        " WHERE event.interval_start = %(start)s AND event.is_first"
        " AND fact.interval_start >= %(first)s AND fact.interval_start <= %(last)s"
        " AND fact.interval_start <> %(start)s"
        " AND fact.arrival_time >= event.arrival_time - %(lookback)s"
        " AND fact.arrival_time <= event.arrival_time + %(lookback)s"
        " ORDER BY fact.{id}, fact.arrival_time, fact.topic_id, fact.kafka_partition,"
        " fact.kafka_offset",
    )
    cursor.execute("ANALYZE rival")


def replace_facts(cursor: Cursor, target: PublishTarget) -> None:
    """The first of each id, unless it has a rival."""
    columns = identifiers(report_table.columns(cursor, target.contract.type))
    target.run(cursor, "DELETE FROM {fact} WHERE interval_start = %(start)s")
    target.run(
        cursor,
        "INSERT INTO {fact} ({columns}) SELECT {columns} FROM {staging} AS event"
        " WHERE interval_start = %(start)s AND is_first"
        " AND NOT EXISTS (SELECT FROM rival WHERE event_id = event.{id})",
        columns=columns,
    )


def replace_sums(cursor: Cursor, target: PublishTarget) -> None:
    """The interval's hourly sums, its rows beside the flow, and its part of the running total."""
    _replace_hourly(cursor, target)
    own = "SELECT interval_start, {groups}, {sign}{measure}, {sign}{count} FROM {interval}"
    own += " WHERE interval_start = %(start)s"
    old, new = (sql.SQL(own).format(**target.names, sign=sql.SQL(s)) for s in ("-", "+"))
    aggregates.add_final(cursor, target.contract, old, target.values)
    _replace_interval(cursor, target)
    aggregates.add_final(cursor, target.contract, new, target.values)


def _replace_hourly(cursor: Cursor, target: PublishTarget) -> None:
    table = aggregates.hourly(target.contract)
    hourly = target.contract.hourly
    sums = listed(sql.SQL("sum({})").format(sql.Identifier(name)) for name in hourly.sum)
    target.run(
        cursor, "DELETE FROM {table} WHERE interval_start = %(start)s", table=table.identifier
    )
    target.run(
        cursor,
        "INSERT INTO {table} (interval_start, event_hour, {by}, {added}, {count})"
        " SELECT interval_start, date_trunc('hour', {time}, 'UTC') AS _hour, {by}, {sums}, count(*)"
        " FROM {fact} WHERE interval_start = %(start)s GROUP BY interval_start, _hour, {by}",
        table=table.identifier,
        by=identifiers(hourly.group_by),
        added=identifiers(hourly.sum),
        sums=sums,
    )


def _replace_interval(cursor: Cursor, target: PublishTarget) -> None:
    """Duplicates are counted by what makes them ones, not as what is left: a fact that is missing
    has no explanation then. The flow has both.

    No column of a contract begins with an underscore.
    """
    target.run(cursor, "DELETE FROM {interval} WHERE interval_start = %(start)s")
    target.run(
        cursor,
        "INSERT INTO {interval}"
        " SELECT %(start)s, {groups}, sum(_fact), sum(_facts),"
        "  sum(_repeated), sum(_events), sum(_flow), sum(_flow_events)"
        " FROM ("
        "  SELECT {fields}, sum({field}), count(*), 0, 0, 0, 0"
        "   FROM {fact} WHERE interval_start = %(start)s GROUP BY {fields}"
        "  UNION ALL SELECT {fields}, 0, 0, sum({field}), count(*), 0, 0"
        "   FROM {staging} AS event WHERE interval_start = %(start)s AND (NOT is_first"
        "    OR EXISTS (SELECT FROM rival WHERE event_id = event.{id})) GROUP BY {fields}"
        "  UNION ALL SELECT {groups}, 0, 0, 0, 0, sum({measure}), sum({count})"
        "   FROM {flow} WHERE {window} >= %(start)s AND {window} < %(end)s GROUP BY {groups}"
        " ) AS part ({groups}, _fact, _facts, _repeated, _events, _flow, _flow_events)"
        " GROUP BY {groups}",
    )


def note_conflicts(cursor: Cursor, target: PublishTarget) -> Conflicts:
    """Note duplicates whose payload is not that of the event that counts."""
    row = target.row(
        cursor,
        "WITH found AS ("
        "  SELECT event.topic_id, event.kafka_partition, event.kafka_offset,"
        "   event.{id}::text AS event_id"
        "  FROM {staging} AS event LEFT JOIN rival ON rival.event_id = event.{id}"
        "  LEFT JOIN {staging} AS first ON first.{id} = event.{id} AND first.is_first"
        "   AND first.interval_start = %(start)s"
        "  WHERE event.interval_start = %(start)s"
        "   AND (NOT event.is_first OR rival.event_id IS NOT NULL)"
        "   AND event.payload_hash <> coalesce(rival.payload_hash, first.payload_hash)"
        " ), added AS ("
        "  INSERT INTO control.conflict"
        "   (type, topic_id, kafka_partition, kafka_offset, event_id, attempt)"
        "  SELECT %(type)s, found.*, %(attempt)s FROM found"
        "  ON CONFLICT DO NOTHING RETURNING event_id"
        " ) SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM added),"
        " ARRAY(SELECT DISTINCT event_id FROM added ORDER BY event_id LIMIT %(examples)s)",
    )
    return Conflicts(*row)


def unexplained(cursor: Cursor, target: PublishTarget) -> int:
    """In how many of the interval's groups batch and flow differ without a reason."""
    [groups] = target.row(
        cursor,
        "SELECT count(*) FROM {interval} WHERE interval_start = %(start)s AND {unexplained}",
    )
    return int(groups)
