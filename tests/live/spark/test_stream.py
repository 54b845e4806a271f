"""Events through real servers: every one stored once, the broken ones apart, the sums exact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kafka import KafkaProducer

from tests.support.cases import raw
from tests.support.oracle import Oracle
from tests.support.postgres import read
from tests.support.stack import Stack
from watershed.contracts.model import Contract
from watershed.contracts.validate import MAX_EVENT_BYTES, MAX_KEPT_BYTES
from watershed.errors import OvertakenError, ProgressError
from watershed.operations.audit.tally import ALWAYS
from watershed.producer.ack_log import AckLog, Record
from watershed.speed import flow, progress
from watershed.speed.commit import commit
from watershed.speed.time_index import OffsetRange
from watershed.stack.home import ROOT
from watershed.stores import cassandra, postgres
from watershed.stores.raw import BLOCK

REJECTED = sorted((ROOT / "schemas" / "transaction" / "rejected").glob("*.json"))
EXAMPLES = sorted((ROOT / "schemas" / "transaction" / "examples").glob("*.json"))


def test_every_event_is_stored_once(produce, verify) -> None:
    done = produce("--rate", "0", "--count", "5000", "--seed", "1", "--duplicates", "0.05",
                   "--invalid", "0.05")  # fmt: skip
    out, _ = done.communicate(timeout=60)
    assert done.returncode == 0, out
    verify()


def test_broken_records_are_quarantined_whole_and_their_neighbours_stored(
    stack: Stack, oracle: Oracle, verify
) -> None:
    values = [(path.read_bytes(), "valid") for path in EXAMPLES]
    cases = [json.loads(path.read_text()) for path in REJECTED]
    values += [(raw(case), "invalid") for case in cases]
    sent = _send(stack, oracle, values)
    verify()
    found = _quarantined(stack, sent)
    for (value, kind), case in zip(values[len(EXAMPLES) :], cases, strict=True):
        assert kind == "invalid"
        assert (case["reason"], value) in found


def test_a_record_that_is_huge_once_unpacked_is_no_stop(
    stack: Stack, oracle: Oracle, verify
) -> None:
    huge = b" " * (3 * MAX_KEPT_BYTES)
    sent = _send(stack, oracle, [(huge, "invalid"), (EXAMPLES[0].read_bytes(), "valid")])
    verify()
    assert ("oversize", huge[:MAX_KEPT_BYTES]) in _quarantined(stack, sent)


def _send(
    stack: Stack, oracle: Oracle, values: list[tuple[bytes | None, str]]
) -> list[tuple[int, int]]:
    producer = KafkaProducer(
        bootstrap_servers=stack.settings.kafka_brokers,
        compression_type="gzip",  # so that the broker takes what is oversize
        max_request_size=64 * MAX_EVENT_BYTES,
    )
    log = AckLog(oracle.log)
    places = []
    for value, kind in values:
        done = producer.send("transaction", value, key=b"test").get(timeout=20)
        log.write(Record(b"test", value or b"", kind), done.partition, done.offset, done.timestamp)
        places.append((done.partition, done.offset))
    producer.close()
    return places


def _quarantined(stack: Stack, places: list[tuple[int, int]]) -> set[tuple[str, bytes | None]]:
    parts = {(partition, offset // BLOCK) for partition, offset in places}
    with postgres.connect(stack.settings) as connection:
        topic_id = read(connection, progress.topic_id, "transaction")
    with cassandra.connect(stack.settings) as session:
        return {
            (row.reason, row.value)
            for part in parts
            for row in session.execute(
                "SELECT reason, value FROM events.quarantine WHERE topic_id = %s"
                " AND kafka_partition = %s AND offset_block = %s",
                [topic_id, *part],
            )
        }


def _range(stack: Stack) -> tuple[str, OffsetRange]:
    """The last batch of partition 0, as it was committed."""
    with postgres.connect(stack.settings) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT topic_id, kafka_partition, from_offset, to_offset, arrival_min, arrival_max,"
            " stored, quarantined FROM control.stream_batch"
            " WHERE type = 'transaction' AND kafka_partition = 0"
            " ORDER BY from_offset DESC LIMIT 1"
        )
        topic_id, *rest = cursor.fetchone()  # type: ignore[misc]
    return topic_id, OffsetRange(*rest)


def _committed(stack: Stack, transaction: Contract) -> tuple[list[flow.Sum], int, int]:
    """All sums, the number of the last commit and the lease's epoch."""
    with postgres.connect(stack.settings) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT sequence, epoch FROM control.stream WHERE type = 'transaction'")
        sequence, epoch = cursor.fetchone()  # type: ignore[misc]
        return sorted(read(connection, flow.stored, transaction, ALWAYS)), sequence, epoch


def test_a_batch_delivered_again_changes_nothing(
    stack: Stack, transaction: Contract, verify
) -> None:
    topic_id, last = _range(stack)
    before = _committed(stack, transaction)
    some = [before[0][0]._replace(events=last.stored)]
    with postgres.connect(stack.settings) as connection, pytest.raises(OvertakenError):
        commit(connection, transaction, topic_id, before[-1], [last], some)
    assert _committed(stack, transaction) == before
    verify()


def test_a_batch_under_an_older_epoch_changes_nothing(
    stack: Stack, transaction: Contract, verify
) -> None:
    topic_id, last = _range(stack)
    before = _committed(stack, transaction)
    following = OffsetRange(0, last.to_offset, last.to_offset + 1, last.arrival_min,
                            last.arrival_max, 1, 0)  # fmt: skip
    with postgres.connect(stack.settings) as connection, pytest.raises(OvertakenError):
        commit(connection, transaction, topic_id, before[-1] - 1, [following], before[0][:1])
    assert _committed(stack, transaction) == before
    verify()


def test_a_batch_after_a_hole_is_refused(stack: Stack, transaction: Contract, verify) -> None:
    topic_id, last = _range(stack)
    *_, epoch = _committed(stack, transaction)
    later = OffsetRange(0, last.to_offset + 5, last.to_offset + 6, last.arrival_min,
                        last.arrival_max, 1, 0)  # fmt: skip
    with postgres.connect(stack.settings) as connection, pytest.raises(ProgressError) as refused:
        commit(connection, transaction, topic_id, epoch, [later], [])
    assert str(last.to_offset) in str(refused.value)
    verify()


def test_undeclared_fields_are_kept(stack: Stack, oracle: Oracle, verify) -> None:
    path: Path = next(p for p in EXAMPLES if p.stem == "undeclared-field")
    [(partition, offset)] = _send(stack, oracle, [(path.read_bytes(), "valid")])
    verify()
    with cassandra.connect(stack.settings) as session:
        [row] = session.execute(
            "SELECT extra FROM events.transaction WHERE kafka_partition = %s AND kafka_offset = %s"
            " AND offset_block = %s AND topic_id = %s",
            [partition, offset, offset // BLOCK, _range(stack)[0]],
        )
    assert json.loads(row.extra) == json.loads(path.read_text())
