"""Each quality check is seen to fail on staging that is wrong in its way, and only then."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.support.report_world import WIDTH, World, some_records
from watershed.batch import publish, quality_checks, staging_table
from watershed.batch.attempts import Attempt
from watershed.batch.intervals import Interval
from watershed.errors import AttemptError
from watershed.speed import contract_versions

SINGLE = "transaction_id IN (SELECT transaction_id FROM {t} GROUP BY 1 HAVING count(*) = 1 LIMIT 1)"
TWICE = (
    "transaction_id IN (SELECT transaction_id FROM {t} GROUP BY 1"
    " HAVING count(*) = 2 AND min(interval_start) = max(interval_start) LIMIT 1)"
)
AGAIN = "transaction_id IN (SELECT transaction_id FROM {t} WHERE NOT is_first)"
COLUMNS = (
    "transaction_id, event_time, branch, currency, amount, interval_start, arrival_time,"
    " topic_id, kafka_partition, kafka_offset, payload_hash"
)
CASES = {
    "lost": (f"DELETE FROM {{t}} WHERE {SINGLE}", {"rows", "flow"}),
    "doubled": (
        f"INSERT INTO {{t}} ({COLUMNS}, is_first) SELECT {COLUMNS}, false FROM {{t}}"
        f" WHERE {SINGLE}",
        {"rows", "repeated", "records", "flow"},
    ),
    "one for another": (
        f"UPDATE {{t}} SET (kafka_partition, kafka_offset) = (SELECT kafka_partition, kafka_offset"
        f" FROM {{t}} WHERE NOT ({SINGLE}) LIMIT 1) WHERE {SINGLE}",
        {"records"},
    ),
    "no group": (f"UPDATE {{t}} SET currency = NULL WHERE {SINGLE}", {"no nulls"}),
    "no hash": (f"UPDATE {{t}} SET payload_hash = NULL WHERE {SINGLE}", {"no nulls"}),
    "no time": (f"UPDATE {{t}} SET event_time = NULL WHERE {SINGLE}", {"no nulls"}),
    "too much": (f"UPDATE {{t}} SET amount = 100.01 WHERE {SINGLE}", {"range", "flow"}),
    "another amount": (f"UPDATE {{t}} SET amount = amount / 2 WHERE {SINGLE}", {"flow"}),
    "another interval": (
        f"UPDATE {{t}} SET interval_start = interval_start + interval '1 h' WHERE {SINGLE}",
        {"rows", "repeated", "arrivals", "flow"},
    ),
    "another arrival": (
        f"UPDATE {{t}} SET arrival_time = arrival_time + interval '1 h' WHERE {SINGLE}",
        {"arrivals"},
    ),
    "two first": (
        f"UPDATE {{t}} SET is_first = true WHERE {AGAIN}",
        {"repeated", "first arrivals"},
    ),
    "no first": (
        f"UPDATE {{t}} SET is_first = false WHERE {AGAIN}",
        {"repeated", "first arrivals"},
    ),
    "another first": (
        f"UPDATE {{t}} SET is_first = NOT is_first WHERE {TWICE}",
        {"first arrivals"},
    ),
    "unmatched, not noted": (
        f"UPDATE {{t}} SET unmatched = '{{branch}}' WHERE {SINGLE}",
        {"unmatched branch"},
    ),
    "unmatched too often": (
        "UPDATE {t} SET unmatched = '{fx_rate}' WHERE kafka_offset < 3;"
        "UPDATE control.attempt_interval i SET unmatched = jsonb_build_object('fx_rate', (SELECT"
        " count(*) FROM {t} WHERE interval_start = start_at AND unmatched IS NOT NULL))",
        {"unmatched fx_rate"},
    ),
    "unmatched, and none may be": (
        "UPDATE {t} SET unmatched = '{position_limit}' WHERE kafka_offset = 3;"
        "UPDATE control.attempt_interval i SET unmatched = jsonb_build_object('position_limit',"
        " (SELECT count(*) FROM {t} WHERE interval_start = start_at AND unmatched IS NOT NULL))",
        {"unmatched position_limit"},
    ),
    "another flow": (
        "UPDATE speed.transaction_flow SET event_count = event_count + 1 WHERE curr_time ="
        " (SELECT min(curr_time) FROM speed.transaction_flow)",
        {"flow"},
    ),
}


@pytest.fixture
def attempt(world: World, dice: random.Random) -> Attempt:
    """Loaded as it should be: three intervals, the last of them empty, some events repeated."""
    end = world.clock + 2 * WIDTH
    world.arrive(some_records(dice, world.records, world.clock, end, 150))
    world.pass_time(end + WIDTH + timedelta(seconds=1))
    attempt = world.begin()
    world.load(attempt)
    return attempt


def _failing(world: World, attempt: Attempt) -> set[str]:
    found = quality_checks.check_staging(world.connection, world.contract, attempt)
    [(noted, checked_at)] = world.query(
        "SELECT checks, checked_at FROM control.attempt WHERE attempt = %s", attempt.attempt
    )
    assert noted == json.loads(json.dumps([one._asdict() for one in found]))
    assert (checked_at is not None) == all(one.ok for one in found)
    return {one.name for one in found if not one.ok}


def test_good_staging_passes(world: World, attempt: Attempt) -> None:
    assert _failing(world, attempt) == set()
    assert len(publish.publish(world.connection, world.contract, attempt)) == 3


def test_what_is_published_is_checked_as_it_was(world: World, attempt: Attempt) -> None:
    """Its rows are gone; a task that is cleared must not fail for that."""
    before = quality_checks.check_staging(world.connection, world.contract, attempt)
    for _ in range(2):
        publish.publish(world.connection, world.contract, attempt)
        world.finalize(Interval(attempt.start, attempt.end))  # from a newer attempt
        assert quality_checks.check_staging(world.connection, world.contract, attempt) == before


def test_what_was_dropped_unpublished_cannot_be_checked(world: World, attempt: Attempt) -> None:
    quality_checks.check_staging(world.connection, world.contract, attempt)
    world.read(staging_table.drop, attempt)
    with pytest.raises(AttemptError, match="is gone\n  -> load it again"):
        quality_checks.check_staging(world.connection, world.contract, attempt)


@pytest.mark.parametrize(
    ("known", "version", "expected"), [(True, 2, set()), (False, 2, {"range"}), (True, 3, set())]
)
def test_what_an_older_version_allowed_is_in_range(
    world: World, attempt: Attempt, known: bool, version: int, expected: set[str]
) -> None:
    """Else what came in before a deployment could never be made final after it."""
    if known:
        contract_versions.adopt(world.connection, world.contract, {})
    bound = Decimal(10) if version == 2 else None
    amount = world.contract.fields["amount"].model_copy(
        update={"minimum": bound and -bound, "maximum": bound}
    )
    fields = world.contract.fields | {"amount": amount}
    world.contract = world.contract.model_copy(update={"fields": fields, "version": version})
    assert any(abs(record.amount) > 10 for record in world.records)
    assert _failing(world, attempt) == expected


@pytest.mark.parametrize("case", CASES)
def test_bad_staging_is_refused(case: str, world: World, attempt: Attempt) -> None:
    assert _failing(world, attempt) == set()
    statement, failing = CASES[case]
    world.query(statement.replace("{t}", f"staging.{staging_table.name(attempt)}"))
    assert _failing(world, attempt) == failing
    with pytest.raises(AttemptError, match="checks have not passed"):
        publish.publish(world.connection, world.contract, attempt)
