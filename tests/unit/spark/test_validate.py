"""The stream's validation judges as the Python twin does: the same reasons, the same values."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from tests.support.cases import raw
from tests.support.generated_records import Records
from watershed.contracts.load import load_contract
from watershed.contracts.model import Contract, Field
from watershed.contracts.reasons import Reason
from watershed.contracts.validate import MAX_DEPTH, MAX_EVENT_BYTES, MAX_MATCHED, Validator
from watershed.spark.validate import validated

SCHEMAS = Path(__file__).parents[3] / "schemas"
TRANSACTION = load_contract(SCHEMAS / "transaction" / "contract.yaml")
RECORDS = int(os.environ.get("WATERSHED_PROPERTY_RECORDS", "100000"))
SEED = int(os.environ.get("WATERSHED_PROPERTY_SEED", Random().randrange(2**32)))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = "9999-12-31 23:59:59"
SHOWN = 10
CHUNK = 25_000  # records in memory at a time, each as bytes, as a row and as what is expected


def _fields(**declared: dict[str, Any]) -> dict[str, Field]:
    return {name: Field(description="", **keys) for name, keys in declared.items()}


OPTIONAL = {"required": False}
NULLABLE = {"nullable": True}
EVERYTHING = TRANSACTION.model_copy(
    update={
        "fields": _fields(
            id={"type": "uuid"},
            at={"type": "timestamp"},
            word={"type": "string"},
            code={"type": "string", "pattern": r"[A-Z]{2}-\d+|\[x\]|[^,]?", "max_length": 5},
            note={"type": "string", **OPTIONAL, **NULLABLE},
            kind={"type": "string", "enum": ("AB-1", "[1]", "{}", "12", "true", ""), **NULLABLE},
            later={"type": "timestamp", **OPTIONAL},
            other={"type": "uuid", **NULLABLE},
            size={"type": "integer", "minimum": Decimal(-7), "maximum": Decimal(100)},
            wide={"type": "integer", **OPTIONAL},
            ratio={"type": "double", "minimum": Decimal("0.1"), "maximum": Decimal("1e2")},
            any_double={"type": "double", **OPTIONAL, **NULLABLE},
            flag={"type": "boolean", **OPTIONAL},
            maybe={"type": "boolean", **NULLABLE},
            money={"type": "decimal(38,18)", "maximum": Decimal("1e19")},
            tiny={"type": "decimal(2,2)", **OPTIONAL},
            whole={"type": "decimal(20,0)", **OPTIONAL, **NULLABLE},
            doc={"type": "string", **OPTIONAL},
            fault={"type": "boolean", **OPTIONAL},
            reason={"type": "timestamp", **OPTIONAL},
            fraction={"type": "decimal(38,38)", **OPTIONAL, **NULLABLE},
        ),
        "event_id": "id",
        "event_time": "at",
        "entity": "code",
    }
)


def judged(spark: SparkSession, contract: Contract, values: list[bytes | None]) -> list[Row]:
    """The stream's judgement of each record; timestamps as microseconds since 1970."""
    rows = [(i, value) for i, value in enumerate(values)]
    records = spark.createDataFrame(rows, "kafka_offset bigint, value binary").select(
        F.lit(None).cast("binary").alias("key"),
        "value",
        F.lit(0).alias("kafka_partition"),
        "kafka_offset",
        F.lit(LATEST).cast("timestamp").alias("kafka_time"),
    )
    return _readable(validated(records, contract), contract).orderBy("kafka_offset").collect()


def _readable(events: DataFrame, contract: Contract) -> DataFrame:
    times = [name for name, field in contract.fields.items() if field.kind == "timestamp"]
    return events.withColumns({name: F.unix_micros(name) for name in times})


def value_of(field: Field, token: Any) -> Any:
    """A valid event's value, from JSON whose numbers are left as text."""
    if token is None:
        return None
    match field.kind:
        case "integer":
            return int(Decimal(token))
        case "double":
            return float(token)
        case "decimal":
            return Decimal(token)
        case "timestamp":
            return (datetime.fromisoformat(token) - EPOCH) // timedelta(microseconds=1)
    return token


def expected(contract: Contract, value: bytes | None) -> dict[str, Any]:
    """The row's columns, as the twin would have them."""
    rejection = Validator(contract).reject(value)
    if rejection or value is None:
        nothing: dict[str, Any] = dict.fromkeys((*contract.fields, "extra"))
        return nothing | {"_reason": rejection and rejection.reason.value, "value": value}
    event = json.loads(value, parse_int=str, parse_float=str)
    fields = {name: value_of(f, event.get(name)) for name, f in contract.fields.items()}
    extra = value.decode() if event.keys() - contract.fields.keys() else None
    return fields | {"_reason": None, "value": None, "extra": extra}


def differences(contract: Contract, values: list[bytes | None], rows: list[Row]) -> list[str]:
    found = []
    for value, row in zip(values, rows, strict=True):
        wanted = expected(contract, value)
        got = {name: row[name] for name in wanted}
        if got != wanted:
            parts = [f"{n}: {got[n]!r}, not {wanted[n]!r}" for n in wanted if got[n] != wanted[n]]
            found.append(f"{value!r:.2000}\n    {row._detail!r:.200}; " + "; ".join(parts)[:1000])
    return found


@pytest.mark.parametrize("folder", sorted(p.parent for p in SCHEMAS.glob("*/contract.yaml")))
def test_examples_give_their_verdicts(spark: SparkSession, folder: Path) -> None:
    good = sorted(folder.glob("examples/*.json"))
    bad = sorted(folder.glob("rejected/*.json"))
    cases = [json.loads(path.read_text(encoding="utf-8")) for path in bad]
    values = [path.read_bytes() for path in good] + [raw(case) for case in cases]
    rows = judged(spark, load_contract(folder / "contract.yaml"), values)
    reasons = {path.stem: row._reason for path, row in zip([*good, *bad], rows, strict=True)}
    assert reasons == dict.fromkeys((path.stem for path in good), None) | {
        path.stem: case["reason"] for path, case in zip(bad, cases, strict=True)
    }


@pytest.mark.timeout(120 + RECORDS // 1000)
@pytest.mark.parametrize("contract", [TRANSACTION, EVERYTHING], ids=["transaction", "everything"])
def test_agrees_with_the_twin(spark: SparkSession, contract: Contract) -> None:
    """WATERSHED_PROPERTY_RECORDS records in all; WATERSHED_PROPERTY_SEED repeats a run."""
    print(f"seed {SEED}: repeat with WATERSHED_PROPERTY_SEED={SEED}")
    records = Records(contract, Random(SEED)).take(RECORDS // 2)
    for values in iter(lambda: list(islice(records, CHUNK)), []):
        found = differences(contract, values, judged(spark, contract, values))
        shown = "\n".join(found[:SHOWN])
        assert not found, f"{len(found)} of {len(values)} differ with seed {SEED}:\n{shown}"


def test_limits(spark: SparkSession) -> None:
    """Records too long to be drawn often, and none of them may end Spark."""
    event = (SCHEMAS / "transaction" / "examples" / "minimal.json").read_bytes().rstrip()[:-1]
    blanks = MAX_EVENT_BYTES - len(event) - 1
    before_amount = event.rpartition(b":")[0]
    arrays, objects = ((b"[", b"]"), (b'{"a":', b"}"))
    numbered = b"".join(b',"%d":%d' % (n, n) for n in range(50_000))
    cases: dict[bytes | None, str | None] = {
        event + b"}" + b" " * blanks: None,
        event + b"}" + b" " * (blanks + 1): "oversize",
        _nested(event, arrays, MAX_DEPTH): None,
        _nested(event, arrays, MAX_DEPTH + 1): "not_json",
        _nested(event, arrays, 200_000): "not_json",
        _nested(event, objects, MAX_DEPTH): None,
        _nested(event, objects, MAX_DEPTH + 1): "not_json",
        event + b',"a":"' + b"[" * 5_000 + b'"}': None,
        event + b',"a":[' + b"[]," * 100_000 + b"1]}": None,
        event + b',"a":"' + b"\\n" * 500_000 + b'"}': None,
        event + b',"a":"' + b"\\ud83d\\ude00" * 80_000 + b'\\ud83d"}': "not_json",
        event + numbered + b"}": None,
        event + numbered + b',"7":1}': "duplicate_key",
        before_amount + b":1." + b"0" * 1_000_000 + b"}": None,
        before_amount + b":" + b"1" * 1_000_000 + b"}": "lossy_number",
        before_amount + b":1." + b"0" * 996 + b"e0}": None,
        before_amount + b":1." + b"0" * 997 + b"e0}": "lossy_number",
        before_amount + b':"1' + b"0" * 1_000_000 + b'"}': "lossy_number",
    }
    values = list(cases)
    rows = judged(spark, TRANSACTION, values)
    assert [row._reason for row in rows] == list(cases.values())
    assert differences(TRANSACTION, values, rows) == []


def _nested(event: bytes, brackets: tuple[bytes, bytes], levels: int) -> bytes:
    opening, closing = brackets
    return event + b',"a":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"


def test_pattern_on_a_long_value(spark: SparkSession) -> None:
    """A group that repeats needs stack for every character."""
    field = Field(type="string", description="", pattern="(?:((A|B)|1)*)*", max_length=1_000_000)
    contract = TRANSACTION.model_copy(update={"fields": TRANSACTION.fields | {"branch": field}})
    text = (SCHEMAS / "transaction" / "examples" / "minimal.json").read_bytes()
    lengths = (MAX_MATCHED, MAX_MATCHED + 1, 500_000)
    values: list[bytes | None] = [text.replace(b"Kazan", b"A" * n) for n in lengths]
    rows = judged(spark, contract, values)
    assert [row._reason for row in rows] == [None, "out_of_range", "out_of_range"]
    assert differences(contract, values, rows) == []


def test_event_time_ahead_of_kafka_time(spark: SparkSession) -> None:
    text = (SCHEMAS / "transaction" / "examples" / "minimal.json").read_text(encoding="utf-8")
    late = text.replace("2024-02-29T12:00:00Z", "9999-12-31T23:59:59.999Z")
    wait_s = TRANSACTION.ahead_max_s
    records = spark.createDataFrame([(late.encode(),)], "value binary").select(
        *("value", F.lit(None).alias("key"), F.lit(0).alias("kafka_partition")),
        F.explode(F.array(*map(F.lit, (0, 1)))).alias("kafka_offset"),
        F.expr(
            f"timestamp'9999-12-31 23:59:59.999' - make_dt_interval(0, 0, 0, {wait_s})"
            " - make_dt_interval(0, 0, 0, kafka_offset * 0.001)"
        ).alias("kafka_time"),
    )
    rows = validated(records, TRANSACTION).orderBy("kafka_offset").collect()
    assert [row._reason for row in rows] == [None, Reason.FUTURE_EVENT_TIME]
    assert rows[1]._detail == "event_time: 9999-12-31T23:59:59.999Z"
    assert bytes(rows[1].value) == late.encode()
