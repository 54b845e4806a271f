"""Bank transactions, made up and repeatable: ``python -m producers.transactions --help``.

The fields are those of ``schemas/transaction/contract.yaml``.
"""

from __future__ import annotations

import math
import random
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from watershed.producer.ack_log import AckLog, Record
from watershed.producer.delivery import Delivery
from watershed.producer.run import produce

BRANCHES = ("Kazan", "SPB", "Novosibirsk", "Surgut")
CURRENCIES = ("RUB", "USD", "EUR", "GBP")
LIMIT_HUNDREDTHS = 100_00
REPEATABLE = 100
"""A duplicate repeats one of so many valid events, the latest."""

Fields = dict[str, str]
"""Field name to JSON text, in the order of writing."""


def money(hundredths: int) -> str:
    """``-1205`` as ``-12.05``: exact, and a JSON number, without ever being a float."""
    whole, rest = divmod(abs(hundredths), 100)
    return f"{'-' if hundredths < 0 else ''}{whole}.{rest:02d}"


def rfc3339(moment: datetime) -> str:
    """An aware ``moment`` in UTC with milliseconds (cut, not rounded) and ``Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def to_json(fields: Fields) -> bytes:
    """One JSON object."""
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()


def new_fields(rng: random.Random, now: datetime) -> Fields:
    """One valid event; the amount is uniform in -100.00 … 100.00."""
    return {
        "transaction_id": f'"{UUID(int=rng.getrandbits(128), version=4)}"',
        "event_time": f'"{rfc3339(now)}"',
        "branch": f'"{rng.choice(BRANCHES)}"',
        "currency": f'"{rng.choice(CURRENCIES)}"',
        "amount": money(rng.randint(-LIMIT_HUNDREDTHS, LIMIT_HUNDREDTHS)),
    }


def not_json(rng: random.Random, fields: Fields) -> bytes:
    """Cut off somewhere."""
    text = to_json(fields)
    return text[: rng.randrange(1, len(text))]


def not_utf8(_rng: random.Random, fields: Fields) -> bytes:
    """A branch in Latin-1."""
    return to_json(fields | {"branch": '"Kazán"'}).decode().encode("latin-1")


def missing_field(rng: random.Random, fields: Fields) -> bytes:
    """Any one field left out."""
    without = rng.choice(list(fields))
    return to_json({name: text for name, text in fields.items() if name != without})


def mistyped(rng: random.Random, fields: Fields) -> bytes:
    """A boolean in place of any one field: no field may be one."""
    return to_json(fields | {rng.choice(list(fields)): "true"})


def out_of_enum(rng: random.Random, fields: Fields) -> bytes:
    """A branch or a currency that does not exist."""
    return to_json(fields | rng.choice([{"branch": '"Atlantis"'}, {"currency": '"XXX"'}]))


def out_of_range(rng: random.Random, fields: Fields) -> bytes:
    """An amount beyond the limit, on either side."""
    beyond = rng.randint(LIMIT_HUNDREDTHS + 1, 10 * LIMIT_HUNDREDTHS)
    return to_json(fields | {"amount": money(rng.choice((-1, 1)) * beyond)})


Breakage = Callable[[random.Random, Fields], bytes]
BREAKAGES: tuple[Breakage, ...] = (
    not_json,
    not_utf8,
    missing_field,
    mistyped,
    out_of_enum,
    out_of_range,
)


def transactions(
    seed: int,
    clock: Callable[[], datetime],
    duplicates: float = 0.0,
    invalid: float = 0.0,
) -> Iterator[Record]:
    """Transactions without end, the same for the same arguments and moments.

    ``clock`` gives an aware datetime, asked once per new event. ``duplicates`` and ``invalid``
    are shares from 0 to 1: of records that repeat one of the latest valid events byte for byte,
    and of records broken in one of the ways of ``BREAKAGES``. The key is the transaction_id.
    """
    rng = random.Random(seed)
    latest: deque[Record] = deque(maxlen=REPEATABLE)
    while True:
        draw = rng.random()
        if draw < duplicates and latest:
            yield rng.choice(latest)._replace(kind="duplicate")
            continue
        fields = new_fields(rng, clock())
        key = fields["transaction_id"].strip('"').encode()
        if duplicates <= draw < duplicates + invalid:
            yield Record(key, rng.choice(BREAKAGES)(rng, fields), "invalid")
        else:
            latest.append(Record(key, to_json(fields)))
            yield latest[-1]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


def _broker(value: str) -> str:
    found = [re.fullmatch(r"[^\s:,]+:(\d{1,5})", part) for part in value.split(",")]
    if not all(part and int(part[1]) < 1 << 16 for part in found):
        raise typer.BadParameter("must be host:port, or several of them separated by commas")
    return value


def _topic(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", value) or value in (".", ".."):
        raise typer.BadParameter("a topic's name has up to 249 letters, digits, '.', '_' and '-'")
    return value


def _ack_log(path: Path | None) -> AckLog | None:
    try:
        return AckLog(path) if path else None
    except OSError as error:
        raise typer.BadParameter(str(error), param_hint="--ack-log") from error


def main(
    broker: Annotated[
        str,
        typer.Option(
            envvar="WATERSHED_KAFKA_BROKERS",
            callback=_broker,
            help="Kafka's host:port; several, separated by commas, are addresses of one cluster.",
        ),
    ] = "127.0.0.1:9092",
    topic: Annotated[
        str,
        typer.Option(callback=_topic, help="Topic to write to; it must exist (`./ws up`)."),
    ] = "transaction",
    rate: Annotated[
        float,
        typer.Option(
            min=0,
            callback=_finite,
            help="Events per second; 0: as fast as possible. After a stall the producer catches "
            "up: the schedule is absolute.",
        ),
    ] = 100.0,
    count: Annotated[
        int, typer.Option(min=0, help="Stop after so many events; 0: go on until a signal.")
    ] = 0,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Repeats the ids, branches, currencies and amounts of the run that printed it.",
            show_default="random",
        ),
    ] = None,
    ack_log: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Append a JSON line per record that Kafka acknowledged: partition, offset, "
            "timestamp (ms), kind (valid, duplicate, invalid), key and value. What is in it "
            "must be in the stores later.",
        ),
    ] = None,
    duplicates: Annotated[
        float,
        typer.Option(min=0, max=1, callback=_finite, help="Share of repeated events, 0 to 1."),
    ] = 0.0,
    invalid: Annotated[
        float,
        typer.Option(
            min=0, max=1, callback=_finite, help="Share of broken events, 0 to 1: for quarantine."
        ),
    ] = 0.0,
) -> None:
    """Write made-up bank transactions to Kafka.

    Idempotent, acknowledged by all replicas: while Kafka is away the producer waits and loses
    nothing. SIGTERM or Ctrl-C ends it once all is acknowledged, a second one at once (exit 1).
    """
    if duplicates + invalid > 1:
        raise typer.BadParameter("--duplicates and --invalid together exceed 1")
    delivery = Delivery(broker, topic, _ack_log(ack_log))
    seed = secrets.randbits(32) if seed is None else seed
    typer.echo(f"transactions to {topic} at {broker}, seed {seed}")
    records = transactions(seed, lambda: datetime.now(UTC), duplicates, invalid)
    raise typer.Exit(produce(records, delivery, rate, count))


app = typer.Typer(add_completion=False)
app.command()(main)

if __name__ == "__main__":
    app()
