"""The audit of a report: facts against the ledger, sums against the facts, and the flow against
what it was when an interval was published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from watershed.batch import aggregates, facts, ledger
from watershed.batch.checksums import of_intervals
from watershed.contracts.derived import EVENT_COUNT
from watershed.contracts.model import Contract
from watershed.speed import flow
from watershed.stores.sql_types import identifiers, listed

CLOCK = "%Y-%m-%d %H:%M"
SHOWN = 20
"""Rows of one comparison; a fault seldom comes alone."""


class ReportTally(NamedTuple):
    """What is published, and what is wrong with it."""

    intervals: int
    facts: int
    faults: list[str]


class Comparison(NamedTuple):
    """Two queries that must give the same rows, of which the first ``key`` columns name one."""

    what: str
    has: str
    against: str
    should: str
    key: int


def check(cursor: Cursor, contract: Contract, since: datetime) -> ReportTally:
    """Compare all that is published of intervals from ``since`` on."""
    published = ledger.checksums(cursor, contract.type, since)
    stored = of_intervals(cursor, contract, published, since)
    faults = list(_unlike_ledger(published, stored))
    names = _names(contract)
    for comparison in _comparisons(contract):
        faults += _differing(cursor, comparison, names, contract.type, since)
    return ReportTally(len(published), sum(map(_rows, stored.values())), faults)


def _unlike_ledger(
    published: Mapping[datetime, str], stored: Mapping[datetime, str]
) -> Iterator[str]:
    for start in sorted(published.keys() | stored.keys()):
        should, has = published.get(start), stored.get(start)
        if should is None:
            yield f"{start:{CLOCK}}: {_rows(has):,} facts of an interval that is not final"
        elif _rows(has) != _rows(should):
            yield f"{start:{CLOCK}}: {_rows(has):,} facts, published were {_rows(should):,}"
        elif has not in (should, None):
            yield f"{start:{CLOCK}}: its facts are not those that were published"


def _rows(checksum: str | None) -> int:
    return int(checksum.partition("-")[0]) if checksum else 0


def _comparisons(contract: Contract) -> list[Comparison]:
    groups = len(contract.flow.group_by)
    by = len(contract.hourly.group_by)
    return [
        Comparison(
            aggregates.interval(contract).name,
            "SELECT interval_start, {groups}, {measure}, {count} FROM {interval}"
            " WHERE interval_start >= %(since)s AND {count} <> 0",
            "the facts give",
            "SELECT interval_start, {fields}, sum({field}), count(*) FROM {fact}"
            " WHERE interval_start >= %(since)s GROUP BY interval_start, {fields}",
            1 + groups,
        ),
        Comparison(
            f"{contract.type}_hourly",
            "SELECT interval_start, event_hour, {by}, {added}, {count} FROM {hourly}"
            " WHERE interval_start >= %(since)s",
            "the facts give",
            "SELECT interval_start, date_trunc('hour', {time}, 'UTC') AS _hour, {by}, {sums},"
            " count(*) FROM {fact} WHERE interval_start >= %(since)s"
            " GROUP BY interval_start, _hour, {by}",
            2 + by,
        ),
        Comparison(
            aggregates.final(contract).name,
            "SELECT arrival_day, {groups}, {measure}, {count} FROM {final}"
            " WHERE arrival_day >= %(day)s",
            "its intervals give",
            "SELECT (interval_start AT TIME ZONE 'UTC')::date AS _day, {groups}, sum({measure}),"
            " sum({count}) FROM {interval} WHERE interval_start >= %(day)s::timestamp AT TIME ZONE"
            " 'UTC' GROUP BY _day, {groups} HAVING sum({count}) <> 0",
            1 + groups,
        ),
        Comparison(
            f"{contract.type}_interval, its flow",
            "SELECT interval_start, {groups}, {flow_measure}, flow_count FROM {interval}"
            " WHERE interval_start >= %(since)s AND flow_count <> 0",
            "the flow has",
            "SELECT _start, {groups}, sum({measure}), sum({count}) FROM {flow}"
            " JOIN ({published}) AS _published (_start, _end)"
            " ON {window} >= _start AND {window} < _end"
            " WHERE _start >= %(since)s GROUP BY _start, {groups}",
            1 + groups,
        ),
    ]


def _names(contract: Contract) -> dict[str, sql.Composable]:
    hourly, measure = contract.hourly, contract.measure[0]
    return {
        "fact": facts.table(contract),
        "flow": sql.Identifier("speed", flow.flow_table(contract)),
        "hourly": aggregates.hourly(contract).identifier,
        "interval": aggregates.interval(contract).identifier,
        "final": aggregates.final(contract).identifier,
        "window": sql.Identifier(contract.flow.window_column),
        "time": sql.Identifier(contract.event_time),
        "groups": identifiers(contract.flow.group_by),
        "fields": identifiers(contract.flow.group_by.values()),
        "measure": sql.Identifier(measure),
        "field": sql.Identifier(contract.measure[1]),
        "flow_measure": sql.Identifier(f"flow_{measure}"),
        "count": sql.Identifier(EVENT_COUNT),
        "by": identifiers(hourly.group_by),
        "added": identifiers(hourly.sum),
        "published": ledger.PUBLISHED,
        "sums": listed(sql.SQL("sum({})").format(sql.Identifier(name)) for name in hourly.sum),
    }


def _differing(
    cursor: Cursor,
    one: Comparison,
    names: Mapping[str, sql.Composable],
    event_type: str,
    since: datetime,
) -> Iterator[str]:
    """A line for each row that only one of the two queries gives."""
    cursor.execute(
        sql.SQL(
            "WITH has AS ({}), should AS ({}), differing AS ("
            " SELECT TRUE, * FROM (TABLE has EXCEPT TABLE should) AS more"
            " UNION ALL SELECT FALSE, * FROM (TABLE should EXCEPT TABLE has) AS less)"
            " SELECT * FROM differing ORDER BY 2, 3, 4 LIMIT %(shown)s"
        ).format(*(sql.SQL(query).format(**names) for query in (one.has, one.should))),
        {"type": event_type, "since": since, "day": _whole_day(since), "shown": 2 * SHOWN},
    )
    sides: dict[tuple[Any, ...], dict[bool, str]] = {}
    for side, *row in cursor.fetchall():
        sides.setdefault(tuple(row[: one.key]), {})[side] = _text(row[one.key :])
    for key, text in sides.items():
        values = f"{text.get(True, 'nothing')}, {one.against} {text.get(False, 'nothing')}"
        yield f"report.{one.what}, {_text(key)}: {values}"


def _whole_day(since: datetime) -> Any:
    """The first day that begins at ``since`` or later."""
    return (since + timedelta(days=1) - timedelta.resolution).date()


def _text(row: Any) -> str:
    return " ".join(f"{v:{CLOCK}}" if isinstance(v, datetime) else str(v) for v in row)
