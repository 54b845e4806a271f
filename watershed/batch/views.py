"""Views of a contract's report: what people and BI tools read, each column with a comment.

What a view reads outside schema ``report`` it reads as its owner. Each is one statement, so it sees
one snapshot: publishing moves sums from the flow's half of a position to the final half in one
transaction, and a view has all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from psycopg2 import errors, sql
from psycopg2.extensions import cursor as Cursor

from watershed.batch import aggregates, facts, report_table
from watershed.batch.report_table import SCHEMA
from watershed.contracts.derived import EVENT_COUNT
from watershed.contracts.model import Contract
from watershed.errors import StoreError
from watershed.speed import flow
from watershed.stores.sql_types import identifiers, listed, measure_type, sql_type

BEHIND = "Events behind it"
POSITION = {
    "position": "opening + final + live",
    "opening": "Balance that was entered, and what history that was pruned came to",
    "final": "Sum of the final events, each once",
    "live": "Sum of what arrived since and is not final; repeated ones count as often as they came",
    EVENT_COUNT: BEHIND,
}
FINAL_UNTIL = "Arrival time up to which everything was made final, or skipped"


class View(NamedTuple):
    """A view: its name's end, what it is, what its columns are, and its query."""

    suffix: str
    comment: str
    columns: Mapping[str, str]
    query: str


# No column of a contract begins with an underscore: names that do are these queries' own.
BY_HOUR = """
    SELECT event_hour, {by}, {added}, sum({count})::bigint AS {count}
    FROM {hourly} GROUP BY event_hour, {by}
"""

# OFFSET, which leaves out nothing, keeps the planner to short ranges of the flow's key.
SKIPPED = """
    SELECT _sums.* FROM (
        SELECT start_at, end_at FROM control.interval
        WHERE type = {type} AND attempt IS NULL AND start_at < {until}
    ) AS _skipped (_start, _end) CROSS JOIN LATERAL (
        SELECT * FROM {flow} WHERE {window} >= _start AND {window} < _end OFFSET 0) AS _sums
"""

# The upper bound, which excludes nothing, keeps the planner to a range of the flow's key.
POSITION_BY_GROUP = """
    SELECT {fields},
        sum(_opening + _final + _live)::{amount} AS position, sum(_opening)::{amount} AS opening,
        sum(_final)::{amount} AS final, sum(_live)::{amount} AS live,
        sum(_events)::bigint AS {count}
    FROM (
        SELECT {groups}, {measure}, 0, 0, {count} FROM {opening}
        UNION ALL
        SELECT {groups}, 0, sum({measure}), 0, sum({count}) FROM {final} GROUP BY {groups}
        UNION ALL
        SELECT {groups}, 0, 0, sum({measure}), sum({count}) FROM {flow}
        WHERE {window} < 'infinity' AND {window} >= (
            SELECT coalesce(final_until, '-infinity') FROM control.stream WHERE type = {type})
        GROUP BY {groups}
        UNION ALL
        SELECT {groups}, 0, 0, {measure}, {count} FROM ({skipped}) AS _skipped
    ) AS _part ({fields}, _opening, _final, _live, _events)
    GROUP BY {fields}
"""

POSITION_QUERY = """
    SELECT {position_fields}, position, opening, final, live, {count},
        final_until, statement_timestamp() - final_until AS final_age,
        live_until, statement_timestamp() - live_until AS live_age
    FROM (
        SELECT {position_fields}, sum(position)::{amount} AS position,
            sum(opening)::{amount} AS opening, sum(final)::{amount} AS final,
            sum(live)::{amount} AS live, sum({count})::bigint AS {count}
        FROM {position_by_group} GROUP BY {position_fields}
    ) AS _total
    CROSS JOIN (
        SELECT final_until, (
            SELECT CASE WHEN bool_and(watermark IS NOT NULL) THEN min(watermark) END
            FROM control.stream_offset AS o
            WHERE o.type = s.type AND o.topic_id = s.topic_id) AS live_until
        FROM control.stream AS s WHERE type = {type}
    ) AS _clock
"""

FINAL_POSITION = """
    SELECT {position_fields}, position, {count}, final_until
    FROM (
        SELECT {position_fields}, sum(_value)::{amount} AS position,
            sum(_events)::bigint AS {count}
        FROM (
            SELECT {position_columns}, {measure}, {count} FROM {opening}
            UNION ALL
            SELECT {position_columns}, {measure}, {count} FROM {final}
        ) AS _part ({position_fields}, _value, _events)
        GROUP BY {position_fields}
    ) AS _total
    CROSS JOIN (SELECT final_until FROM control.stream WHERE type = {type}) AS _clock
"""

RECONCILIATION = """
    SELECT interval_start, _end AS interval_end, {fields_of_groups},
        {measure} AS {batch_field}, {count} AS batch_count,
        {flow_measure} AS {flow_field}, flow_count,
        {measure} - {flow_measure} AS {drift_field}, {count} - flow_count AS drift_count,
        {duplicate_measure} AS {duplicate_field}, duplicate_count,
        {unexplained} AS {unexplained_field}, {unexplained_events} AS unexplained_count
    FROM {interval} JOIN (
        SELECT start_at, end_at FROM control.interval WHERE type = {type}
    ) AS _ledger (_start, _end) ON _start = interval_start
"""

# Whole days, the intervals of the day that t is in, the facts of the interval that it is in. Plans
# depend on what lies before t, so none is kept. Of skipped intervals, and of what follows the
# ledger, it has the flow's windows.
POSITION_AT = """
    CREATE OR REPLACE FUNCTION {position_at}(_t timestamptz)
    RETURNS TABLE ({typed_fields}, "position" numeric, {count} bigint, is_final boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    SET plan_cache_mode = force_custom_plan
    AS $$
    #variable_conflict use_column
    DECLARE
        _stream control.stream;
        _summed_until timestamptz;
        _all_final boolean;
    BEGIN
        SELECT * INTO _stream FROM control.stream WHERE type = {type};
        IF $1 < _stream.pruned_until THEN
            RAISE EXCEPTION 'what arrived before % was pruned, and is in the opening balance alone',
                _stream.pruned_until
                USING ERRCODE = 'invalid_parameter_value', HINT = 'ask for a later moment';
        END IF;
        SELECT start_at INTO _summed_until FROM control.interval
        WHERE type = {type} AND start_at <= $1 ORDER BY start_at DESC LIMIT 1;
        IF $1 >= _stream.final_until THEN
            _summed_until := _stream.final_until;
        END IF;
        _all_final := $1 <= _stream.final_until AND NOT EXISTS (
            SELECT FROM control.interval WHERE type = {type} AND attempt IS NULL AND start_at < $1);
        RETURN QUERY
        SELECT {position_fields}, sum(_value)::{amount}, sum(_events)::bigint,
            coalesce(_all_final, false)
        FROM (
            SELECT {position_columns}, {measure}, {count} FROM {opening}
            UNION ALL
            SELECT {position_columns}, {measure}, {count} FROM {final}
            WHERE arrival_day < _summed_until::date
            UNION ALL
            SELECT {position_columns}, {measure}, {count} FROM {interval}
            WHERE interval_start >= date_trunc('day', _summed_until)
                AND interval_start < _summed_until
            UNION ALL
            SELECT {position_fields}, {field}, 1 FROM {fact}
            WHERE interval_start = _summed_until AND arrival_time < $1
            UNION ALL
            SELECT {position_columns}, {measure}, {count} FROM ({skipped_before}) AS _skipped
            WHERE {window} <= $1 - {width}
            UNION ALL
            SELECT {position_columns}, {measure}, {count} FROM {flow}
            WHERE {window} >= coalesce(_stream.final_until, '-infinity')
                AND {window} <= $1 - {width}
        ) AS _part ({position_fields}, _value, _events)
        GROUP BY {position_fields};
    END
    $$
"""


def ensure_views(cursor: Cursor, contract: Contract) -> None:
    """Make a contract's views and its function, or put what is new in their place.

    Raises StoreError where one has other columns.
    """
    names = _names(contract)
    for view in _views(contract):
        _ensure(cursor, contract, view, names)
    try:
        cursor.execute(sql.SQL(POSITION_AT).format(**names))
    except errors.InvalidFunctionDefinition:
        raise _other_columns(contract, "position_at", "FUNCTION") from None
    cursor.execute(
        sql.SQL("COMMENT ON FUNCTION {} IS %s").format(names["position_at"]),
        [
            "The position of all that had arrived before _t. Of what is not final it has the flow's"
            " windows that had ended by _t; is_final says that all of it is final: nothing that"
            " still arrives changes it"
        ],
    )


def _ensure(
    cursor: Cursor, contract: Contract, view: View, names: Mapping[str, sql.Composable]
) -> None:
    name = f"{contract.type}_{view.suffix}"
    query = sql.SQL(view.query).format(**names)
    try:
        statement = sql.SQL("CREATE OR REPLACE VIEW {} AS {}")
        cursor.execute(statement.format(sql.Identifier(SCHEMA, name), query))
    except errors.InvalidTableDefinition:
        raise _other_columns(contract, view.suffix, "VIEW") from None
    report_table.comment(cursor, "VIEW", name, view.comment, view.columns)


def _other_columns(contract: Contract, suffix: str, kind: str) -> StoreError:
    return StoreError(
        f"report.{contract.type}_{suffix} has other columns than the contract's report",
        f"DROP {kind} it, with what reads it, then ./ws down, ./ws up make it again",
    )


def _views(contract: Contract) -> list[View]:
    described = {
        field: contract.fields[field].description for field in contract.flow.group_by.values()
    }
    of_position = {name: described[name] for name in _position_fields(contract)}
    return [
        View("by_hour", "Final events by the hour in which they happened", _by_hour(contract),
             BY_HOUR),
        View("position_by_group", "What each group adds to the position, exact at every moment",
             {**described, **POSITION}, POSITION_BY_GROUP),
        View("position", f"The sum of {contract.measure[1]}, exact at every moment", {
            **of_position, **POSITION,
            "final_until": FINAL_UNTIL,
            "final_age": "How long ago that is",
            "live_until": "Arrival time up to which everything is in it; some of what came later"
            " may be, too; null: not known of every partition yet",
            "live_age": "How long ago that is",
        }, POSITION_QUERY),
        View("final_position", "The position by final events alone", {
            **of_position, "position": "Opening balance and all final events, each once",
            EVENT_COUNT: BEHIND, "final_until": FINAL_UNTIL,
        }, FINAL_POSITION),
        View("reconciliation", "Batch against flow, per final interval and group",
             _reconciliation(contract, described), RECONCILIATION),
    ]  # fmt: skip


def _by_hour(contract: Contract) -> dict[str, str]:
    groups, sums = aggregates.hourly_columns(contract)
    return {
        "event_hour": f"Hour of {contract.event_time}, UTC",
        **{name: text for name, (_, text) in (groups | sums).items()},
        EVENT_COUNT: "How many events",
    }


def _reconciliation(contract: Contract, described: Mapping[str, str]) -> dict[str, str]:
    field = contract.measure[1]
    return {
        "interval_start": "Arrival time at which it begins",
        "interval_end": "Arrival time before which it ends",
        **described,
        f"batch_{field}": "Sum of the final events",
        "batch_count": "How many",
        f"flow_{field}": "What the flow had when the interval was published",
        "flow_count": "How many",
        f"drift_{field}": f"batch_{field} - flow_{field}",
        "drift_count": "batch_count - flow_count",
        f"duplicate_{field}": "Sum of the repeated events that were left out",
        "duplicate_count": "How many",
        f"unexplained_{field}": "batch + duplicate - flow: 0, or something is wrong",
        "unexplained_count": "batch + duplicate - flow: 0, or something is wrong",
    }


def _position_fields(contract: Contract) -> list[str]:
    return [contract.flow.group_by[column] for column in contract.position.group_by]


def _names(contract: Contract) -> dict[str, sql.Composable]:
    """What the queries are filled in with."""
    measure, field = contract.measure
    position = _position_fields(contract)
    unexplained, unexplained_events = aggregates.differences(contract)
    compared = ("batch", "flow", "drift", "duplicate", "unexplained")
    of_skipped = {
        "type": sql.Literal(contract.type),
        "flow": sql.Identifier("speed", flow.flow_table(contract)),
        "window": sql.Identifier(contract.flow.window_column),
    }
    return {
        **of_skipped,
        "skipped": sql.SQL(SKIPPED).format(**of_skipped, until=sql.SQL("'infinity'")),
        "skipped_before": sql.SQL(SKIPPED).format(**of_skipped, until=sql.SQL("$1")),
        "amount": sql.SQL(measure_type(contract)),
        "width": sql.SQL("interval {}").format(sql.Literal(f"{contract.flow.window_s} seconds")),
        "count": sql.Identifier(EVENT_COUNT),
        "measure": sql.Identifier(measure),
        "field": sql.Identifier(field),
        "flow_measure": sql.Identifier(f"flow_{measure}"),
        "duplicate_measure": sql.Identifier(f"duplicate_{measure}"),
        **{f"{what}_field": sql.Identifier(f"{what}_{field}") for what in compared},
        "unexplained": unexplained,
        "unexplained_events": unexplained_events,
        "groups": identifiers(contract.flow.group_by),
        "fields": identifiers(contract.flow.group_by.values()),
        "fields_of_groups": listed(
            sql.SQL("{} AS {}").format(sql.Identifier(column), sql.Identifier(name))
            for column, name in contract.flow.group_by.items()
        ),
        "position_fields": identifiers(position),
        "position_columns": identifiers(contract.position.group_by),
        "typed_fields": listed(
            sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(sql_type(contract.fields[n].type)))
            for n in position
        ),
        "by": identifiers(contract.hourly.group_by),
        "added": listed(
            sql.SQL("sum({0})::{1} AS {0}").format(sql.Identifier(name), sql.SQL(kind))
            for name, (kind, _) in aggregates.hourly_columns(contract)[1].items()
        ),
        "fact": facts.table(contract),
        "hourly": aggregates.hourly(contract).identifier,
        "interval": aggregates.interval(contract).identifier,
        "final": aggregates.final(contract).identifier,
        "opening": aggregates.opening(contract).identifier,
        "position_by_group": sql.Identifier(SCHEMA, f"{contract.type}_position_by_group"),
        "position_at": sql.Identifier(SCHEMA, f"{contract.type}_position_at"),
    }
