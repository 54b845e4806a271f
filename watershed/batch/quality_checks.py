"""Quality checks on an attempt's staging table; only what passes every one is published.

They compare what Spark loaded with what it says it read, with the contract, and with what the
stream counted of the same events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from watershed.batch import attempts, facts, staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.staging_table import FIRST
from watershed.contracts.derived import EVENT_COUNT
from watershed.contracts.model import Contract
from watershed.errors import AttemptError
from watershed.speed import contract_versions, flow
from watershed.stores.postgres import transaction
from watershed.stores.sql_types import listed

LISTED = 3


class Checked(NamedTuple):
    """One check: what was found, and what had to be."""

    name: str
    observed: str
    expected: str
    ok: bool


class _Staged:
    """An attempt's staging table, in the connection's transaction."""

    def __init__(self, cursor: Cursor, contract: Contract, attempt: Attempt) -> None:
        self.cursor = cursor
        self.contract = contract
        self.attempt = attempt
        self.names = {
            "staging": staging_table.table(attempt),
            "flow": sql.Identifier("speed", flow.flow_table(contract)),
            "window": sql.Identifier(contract.flow.window_column),
            "id": sql.Identifier(contract.event_id),
            "field": sql.Identifier(contract.measure[1]),
            "measure": sql.Identifier(contract.measure[0]),
            "count": sql.Identifier(EVENT_COUNT),
        }

    def rows(self, query: str, **more: Any) -> list[tuple[Any, ...]]:
        """What a query returns; ``more`` are names or values in it."""
        names = {k: v for k, v in more.items() if isinstance(v, sql.Composable)}
        values = {k: v for k, v in more.items() if k not in names}
        self.cursor.execute(
            sql.SQL(query).format(**self.names, **names), {"attempt": self.attempt.attempt} | values
        )
        return self.cursor.fetchall()

    def count(self, query: str, **more: Any) -> int:
        """The first number that a query returns."""
        return int(self.rows(query, **more)[0][0])


def check_staging(connection: Connection, contract: Contract, attempt: Attempt) -> list[Checked]:
    """Every check of what was loaded, noted with the attempt; of what is published, as noted.

    The attempt may be published only if all hold. Raises AttemptError where there is
    nothing to check, or a newer attempt overlaps it.
    """
    with transaction(connection) as cursor:
        if noted := _published(cursor, attempt):
            return noted
        attempts.check_newest(cursor, attempt)
        if not attempts.is_loaded(cursor, attempt):
            raise AttemptError(f"attempt {attempt.attempt} has loaded nothing", "run its Spark job")
        staging_table.hold(cursor, attempt)
        loaded = _Staged(cursor, contract, attempt)
        cursor.execute(sql.SQL("ANALYZE {staging}").format(**loaded.names))
        found = [one for check in CHECKS for one in check(loaded)]
        cursor.execute(
            "UPDATE control.attempt SET checks = %s,"
            " checked_at = CASE WHEN %s THEN clock_timestamp() END WHERE attempt = %s",
            [json.dumps([one._asdict() for one in found]), all(one.ok for one in found),
             attempt.attempt],
        )  # fmt: skip
    return found


def _published(cursor: Cursor, attempt: Attempt) -> list[Checked]:
    """What was noted of an attempt whose rows are gone, since they are published."""
    cursor.execute(
        "SELECT checks FROM control.attempt WHERE attempt = %s AND checked_at IS NOT NULL"
        " AND published_at IS NOT NULL AND to_regclass(format('%%I.%%I', %s, %s)) IS NULL",
        [attempt.attempt, staging_table.SCHEMA, staging_table.name(attempt)],
    )
    [noted] = cursor.fetchone() or [[]]
    return [Checked(**one) for one in noted]


def _rows(staged: _Staged) -> Iterator[Checked]:
    """Each interval has as many rows, and repeated ones, as were read; no row is in another."""
    found = staged.rows(
        "SELECT start_at, i.events, i.repeated, s.events, s.repeated FROM ("
        "  SELECT start_at, events, repeated FROM control.attempt_interval"
        "  WHERE attempt = %(attempt)s) AS i"
        " FULL JOIN (SELECT interval_start AS start_at, count(*) AS events,"
        "  count(*) FILTER (WHERE NOT is_first) AS repeated FROM {staging} GROUP BY 1) AS s"
        " USING (start_at) ORDER BY start_at"
    )
    for name, said, has in (("rows", 1, 3), ("repeated", 2, 4)):
        wrong = [f"{row[0]}: {row[has] or 0} of {row[said]}"
                 for row in found if row[said] is None or row[said] != (row[has] or 0)]  # fmt: skip
        total = sum(row[has] or 0 for row in found)
        yield Checked(
            name,
            _some(wrong) or f"{total} in {len(found)} intervals",
            f"{sum(row[said] or 0 for row in found)} that were read, by interval",
            not wrong,
        )


def _arrivals(staged: _Staged) -> Iterator[Checked]:
    """Each row arrived in the interval that it is said to be of."""
    outside = staged.count(
        "SELECT count(*) FROM {staging} AS s WHERE NOT EXISTS ("
        " SELECT FROM control.attempt_interval WHERE attempt = %(attempt)s"
        " AND start_at = s.interval_start AND s.arrival_time >= start_at"
        " AND s.arrival_time < end_at)"
    )
    yield _none("arrivals", outside, "rows that did not arrive in their interval")


def _nulls(staged: _Staged) -> Iterator[Checked]:
    """What names an event, places it, groups it and is summed is there."""
    contract = staged.contract
    needed = [contract.event_id, contract.event_time, contract.measure[1], FIRST]
    needed += [*contract.flow.group_by.values()]
    needed += [name for name in facts.PIPELINE if name != "unmatched"]
    counts = listed(
        sql.SQL("count(*) FILTER (WHERE {} IS NULL)").format(sql.Identifier(name))
        for name in dict.fromkeys(needed)
    )
    [found] = staged.rows("SELECT {counts} FROM {staging}", counts=counts)
    nulls = [f"{name}: {n}" for name, n in zip(dict.fromkeys(needed), found, strict=True) if n]
    yield Checked("no nulls", _some(nulls) or "none", "no null in a key", not nulls)


def _range(staged: _Staged) -> Iterator[Checked]:
    """The measure is within the bounds of a version that events came in under."""
    name = staged.contract.measure[1]
    minimum, maximum = contract_versions.bounds(staged.cursor, staged.contract, name)
    outside = staged.count(
        "SELECT count(*) FROM {staging} WHERE {field} < %(minimum)s OR {field} > %(maximum)s",
        minimum=minimum,
        maximum=maximum,
    )
    yield _none("range", outside, f"rows whose {name} is outside the contract's bounds")


def _uniqueness(staged: _Staged) -> Iterator[Checked]:
    """The first row of an id in an interval is marked, and no other; each record is there once."""
    marked = staged.count(
        "SELECT count(*) FROM (SELECT FROM {staging} WHERE interval_start IS NOT NULL"
        " GROUP BY interval_start, {id} HAVING count(*) FILTER (WHERE is_first) <> 1) AS wrong"
    )
    later = staged.count(
        "SELECT count(*) FROM {staging} AS first JOIN {staging} AS other"
        " ON first.interval_start = other.interval_start AND first.{id} = other.{id}"
        " WHERE first.is_first AND NOT other.is_first"
        " AND (other.arrival_time, other.topic_id, other.kafka_partition, other.kafka_offset)"
        " < (first.arrival_time, first.topic_id, first.kafka_partition, first.kafka_offset)"
    )
    what = "ids whose first row in an interval is not marked, or is not the only one"
    yield _none("first arrivals", marked + later, what)
    twice = staged.count(
        "SELECT count(*) FROM (SELECT FROM {staging}"
        " GROUP BY topic_id, kafka_partition, kafka_offset HAVING count(*) > 1) AS twice"
    )
    yield _none("records", twice, "Kafka records that are there more than once")


def _unmatched(staged: _Staged) -> Iterator[Checked]:
    """Few enough events found no row in a reference, and as many as were noted."""
    report = facts.report_of(staged.contract)
    events = staged.count("SELECT count(*) FROM {staging}")
    counted = dict(
        staged.rows("SELECT name, count(*) FROM {staging}, unnest(unmatched) AS name GROUP BY name")
    )
    noted = dict(
        staged.rows(
            "SELECT key, sum(value::bigint) FROM control.attempt_interval,"
            " jsonb_each_text(unmatched) WHERE attempt = %(attempt)s GROUP BY key"
        )
    )
    for name in sorted({*staged.contract.references, *counted, *noted}):
        found, most = counted.get(name, 0), report.unmatched_max.get(name, Decimal(0))
        agrees = found == noted.get(name, 0)
        observed = f"{found} of {events}" + ("" if agrees else f", noted were {noted.get(name, 0)}")
        share = f"at most {most:.2%} of the events"
        yield Checked(f"unmatched {name}", observed, share, agrees and found <= most * events)


def _flow(staged: _Staged) -> Iterator[Checked]:
    """The stream counted and summed the same events in the same intervals."""
    found = staged.rows(
        "SELECT start_at, coalesce(s.events, 0), coalesce(s.total, 0),"
        "  coalesce(f.events, 0), coalesce(f.total, 0)"
        " FROM control.attempt_interval AS i LEFT JOIN ("
        "  SELECT interval_start, count(*) AS events, sum({field}) AS total FROM {staging}"
        "  GROUP BY interval_start) AS s ON s.interval_start = start_at"
        " CROSS JOIN LATERAL (SELECT sum({count}) AS events, sum({measure}) AS total FROM {flow}"
        "  WHERE {window} >= i.start_at AND {window} < i.end_at) AS f"
        " WHERE attempt = %(attempt)s ORDER BY start_at"
    )
    wrong = [
        f"{start}: {batch_events} events, sum {batch}; the flow has {events}, sum {total}"
        for start, batch_events, batch, events, total in found
        if (batch_events, batch) != (events, total)
    ]
    observed = f"{sum(row[1] for row in found)} events, sum {sum(row[2] for row in found)}"
    expected = f"{sum(row[3] for row in found)} events, sum {sum(row[4] for row in found)}"
    yield Checked("flow", _some(wrong) or observed, f"as the flow: {expected}", not wrong)


CHECKS: tuple[Callable[[_Staged], Iterator[Checked]], ...] = (
    _rows, _arrivals, _nulls, _range, _uniqueness, _unmatched, _flow,
)  # fmt: skip


def _none(name: str, found: int, what: str) -> Checked:
    return Checked(name, f"{found} {what}", "none", found == 0)


def _some(faults: list[str]) -> str:
    more = f" and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
    return "; ".join(faults[:LISTED]) + more
