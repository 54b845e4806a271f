"""What the DAG ``replay_quarantine`` does: the project's own replay, from a form."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from watershed.contracts.model import Contract
from watershed.errors import WatershedError
from watershed.operations.replay import replay
from watershed.operations.replay_range import Outcome, replay_range
from watershed.orchestration.project import contract_of
from watershed.settings import Settings, load_settings
from watershed.stores.record_id import RecordId

log = logging.getLogger(__name__)


def replay_form(context: Context) -> dict[str, Any]:
    """Send what the run's form names through Kafka again; how many records went, and where to.

    Raises AirflowFailException when one was refused: the others went.
    """
    settings = load_settings()
    params = context["params"]
    contract = contract_of(settings, params["type"])
    who = context["dag_run"].triggering_user_name or "somebody"
    reason = f"{params['reason']} ({who}, Airflow run {context['run_id']})"
    try:
        outcomes = _replay(settings, contract, params, reason)
    except WatershedError as error:
        raise AirflowFailException(str(error)) from None
    if stayed := [f"{o.record}: {o.why}" for o in outcomes if o.to is None]:
        raise AirflowFailException(
            f"{len(stayed)} of {len(outcomes)} records stay in quarantine:\n  "
            + "\n  ".join(stayed[:20])
            + "\n  -> give one offset and its repaired value, or change the contract"
        )
    return {"sent": {str(outcome.record): str(outcome.to) for outcome in outcomes}}


def _replay(
    settings: Settings, contract: Contract, params: dict[str, Any], reason: str
) -> list[Outcome]:
    first = RecordId(contract.type, params["partition"], params["first"])
    last = params["first"] if params["last"] is None else params["last"]
    if not params["value"]:
        return list(_logged(replay_range(settings, contract, first, last, reason, _wait)))
    if last != first.offset:
        raise AirflowFailException("a repaired value is for one record\n  -> leave `last` empty")
    done = replay(settings, contract, first, params["value"].encode(), _wait, reason)
    return [Outcome(first, done.to)]


def _logged(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        log.info("%s: %s %s", outcome.record, outcome.to or "stays", outcome.why)
        yield outcome


def _wait(seconds: float, why: str) -> None:
    log.info("waits %.0f s: %s", seconds, why)
    time.sleep(seconds)  # until Kafka must have it, if it ever will: nothing tells before
