"""What the report must hold, calculated from the oracle's log and the raw store's arrival times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection

from tests.support.oracle import Oracle
from tests.support.postgres import read
from tests.support.stack import Stack
from watershed.contracts.model import Contract
from watershed.speed import progress
from watershed.stores import cassandra, postgres, raw

Rows = dict[str, tuple[Any, ...]]


class Expected(NamedTuple):
    """The facts by event id, and how many events repeat one."""

    facts: Rows
    repeated: int


def expected(stack: Stack, oracle: Oracle, contract: Contract, until: datetime) -> Expected:
    """The first arrival of each id before a time, and the number of the others."""
    arrivals = arrival_times(stack, contract)
    events = []
    for line in map(json.loads, oracle.log.read_text().splitlines()):
        place = line["partition"], line["offset"]
        if line["kind"] != "invalid" and arrivals[place] < until:
            events.append((arrivals[place], *place, json.loads(line["value"], parse_float=Decimal)))
    facts: Rows = {}
    for arrival, partition, offset, event in sorted(events, key=lambda one: one[:3]):
        time = datetime.fromisoformat(event["event_time"])
        fact = (time, event["branch"], event["currency"], Decimal(event["amount"]))
        facts.setdefault(event["transaction_id"], (*fact, arrival, partition, offset))
    return Expected(facts, len(events) - len(facts))


def arrival_times(stack: Stack, contract: Contract) -> dict[tuple[int, int], datetime]:
    """When each valid event arrived, by partition and offset, as Cassandra has it."""
    settings = stack.settings
    columns = ("kafka_partition", "kafka_offset", "arrival_time")
    with postgres.connect(settings) as connection, cassandra.connect(settings) as session:
        return {
            (partition, offset): time.replace(tzinfo=UTC)
            for key, state in read(connection, progress.read_all, contract.type).items()
            for block in raw.blocks(range(state.begin, state.next))
            for partition, offset, time in raw.rows(session, contract.type, columns, key, block)
        }


def reported(connection: Connection) -> Rows:
    """The facts that the report has."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT transaction_id, event_time, branch, currency, amount, arrival_time,"
        " kafka_partition, kafka_offset FROM report.transaction"
    )
    return {str(row[0]): row[1:] for row in cursor.fetchall()}


INCONSISTENT = {
    "an interval's facts are not as many as the ledger says": """
        SELECT start_at, rows, count(f.*) FROM control.interval AS i LEFT JOIN report.transaction
        AS f ON f.interval_start = i.start_at WHERE i.type = 'transaction' AND attempt IS NOT NULL
        GROUP BY start_at, rows HAVING rows <> count(f.*)""",
    "facts of no interval": """
        SELECT DISTINCT interval_start FROM report.transaction AS f WHERE NOT EXISTS (SELECT FROM
        control.interval AS i WHERE i.type = 'transaction' AND i.start_at = f.interval_start)""",
    "the running total is not the sum of the facts": """
        (SELECT branch, currency, sum(amount), count(*) FROM report.transaction GROUP BY 1, 2)
        EXCEPT (SELECT branch_name, currency_code, sum(batch_value), sum(event_count)
        FROM report.transaction_final GROUP BY 1, 2)""",
    "an hour is not the sum of its facts": """
        (SELECT date_trunc('hour', event_time), branch, currency, sum(amount), sum(amount_eur),
            count(*) FROM report.transaction GROUP BY 1, 2, 3)
        EXCEPT (SELECT event_hour, branch, currency, sum(amount), sum(amount_eur),
            sum(event_count) FROM report.transaction_hourly GROUP BY 1, 2, 3)""",
    "an amount in EUR or RUB is not that of its rate": """
        SELECT transaction_id FROM report.transaction WHERE
            amount_eur IS DISTINCT FROM round(amount / eur_rate, 2)
            OR amount_rub IS DISTINCT FROM round(amount * rub_rate / eur_rate, 2)
            OR (unmatched IS NOT NULL) <> (event_time < '1999-01-04')""",  # the first quotes' day
    "a branch is not where the reference has it": """
        SELECT transaction_id FROM report.transaction AS f LEFT JOIN reference.branch AS b
        USING (branch) WHERE (f.region, f.city) IS DISTINCT FROM (b.region, b.city)""",
    "a batch sum differs from the flow": """
        SELECT * FROM report.transaction_interval WHERE
        batch_value + duplicate_batch_value <> flow_batch_value
        OR event_count + duplicate_count <> flow_count""",
    "the ledger has a hole": """
        SELECT end_at FROM control.interval AS i, control.stream AS s WHERE s.type = i.type
        AND i.type = 'transaction' AND end_at <> final_until AND NOT EXISTS (
        SELECT FROM control.interval AS n WHERE n.type = i.type AND n.start_at = i.end_at)""",
}


def inconsistencies(connection: Connection) -> Iterator[str]:
    """What is half published, or does not add up."""
    cursor = connection.cursor()
    for what, query in INCONSISTENT.items():
        cursor.execute(query)
        if found := cursor.fetchall():
            yield f"{what}: {found[:3]}"
