"""What becomes of old history: its sums go into the opening balance, its rows go.

Months of facts are dropped whole, so what is pruned ends with a month; the open position is the
same before and after, since all of it is one transaction.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.stores import aggregates, attempts, facts, flow
from watershed.stores.columns import identifiers
from watershed.stores.locks import lock_publishing

FOLDED = "folded from history that was pruned"
LOCK_TIMEOUT = "10s"


def prune(connection: Connection, contract: Contract, before: datetime) -> datetime | None:
    """Fold the months that ended a lookback before ``before``, and delete them; commits.

    Returns where the ledger begins now, None where there was nothing to fold. The lookback stays,
    so that every interval from ``before`` on can still be made again. Raises psycopg2's
    LockNotAvailable when a query of the facts holds it up: it may be tried again.
    """
    with connection:
        lock_publishing(connection, contract.type)
        cursor = connection.cursor()
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        cut = _cut(connection, contract, before)
        if cut is None:
            return None
        _fold(connection, contract, cut)
        _delete(connection, contract, cut)
        attempts.forget(connection, contract.type, cut)
        cursor.execute(
            "UPDATE control.stream SET settled_from = %s, pruned_until = %s WHERE type = %s",
            [cut, cut, contract.type],
        )
    return cut


def _cut(connection: Connection, contract: Contract, before: datetime) -> datetime | None:
    """The start of the month in which what must stay begins; None when nothing lies before it."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT settled_from, settled_until FROM control.stream WHERE type = %s", [contract.type]
    )
    begin, end = cursor.fetchone() or (None, None)
    if begin is None:
        return None
    kept = min(before - timedelta(hours=contract.lookback_hours), end)
    cut = facts.part(contract, kept)[1].start
    return cut if cut > begin else None


def _fold(connection: Connection, contract: Contract, cut: datetime) -> None:
    """Move sums of settled intervals, and add the flow's of skipped ones."""
    interval, settled = aggregates.interval(contract), aggregates.settled(contract)
    groups, window = contract.flow.group_by, contract.flow.window_column
    names = {
        "opening": aggregates.opening(contract).identifier,
        "interval": interval.identifier,
        "settled": settled.identifier,
        "flow": sql.Identifier("speed", flow.flow_table(contract)),
        "window": sql.Identifier(window),
        "groups": identifiers(groups),
        "measure": sql.Identifier(contract.measure[0]),
        "count": sql.Identifier(flow.COUNT),
    }
    values = {"type": contract.type, "cut": cut, "note": FOLDED}
    cursor = connection.cursor()
    cursor.execute(
        sql.SQL(
            "INSERT INTO {opening} AS o ({groups}, {measure}, {count}, note)"
            " SELECT {groups}, sum({measure}), sum({count}), %(note)s FROM ("
            "  SELECT {groups}, {measure}, {count} FROM {interval} WHERE interval_start < %(cut)s"
            "  UNION ALL"
            "  SELECT {groups}, {measure}, {count} FROM {flow} JOIN control.interval"
            "   ON {window} >= start_at AND {window} < end_at"
            "   WHERE type = %(type)s AND attempt IS NULL AND start_at < %(cut)s"
            " ) AS old GROUP BY {groups} ON CONFLICT ({groups}, note) DO UPDATE SET"
            " {measure} = o.{measure} + excluded.{measure}, {count} = o.{count} + excluded.{count}"
        ).format(**names),
        values,
    )
    aggregates.add_settled(
        connection,
        contract,
        sql.SQL(
            "SELECT {groups}, -{measure}, -{count} FROM {interval} WHERE interval_start < %(cut)s"
        ).format(**names),
        values,
    )


def _delete(connection: Connection, contract: Contract, cut: datetime) -> None:
    cursor = connection.cursor()
    facts.drop_parts(connection, contract, cut)
    for one in (aggregates.interval(contract), aggregates.hourly(connection, contract)):
        statement = sql.SQL("DELETE FROM {} WHERE interval_start < %s").format(one.identifier)
        cursor.execute(statement, [cut])
    cursor.execute(
        "DELETE FROM control.interval WHERE type = %s AND start_at < %s", [contract.type, cut]
    )
