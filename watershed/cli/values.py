"""Values as commands print them: safe for a terminal, or as JSON."""

from __future__ import annotations

import dataclasses
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from watershed.stores.record_id import RecordId


def safe(text: object) -> Text:
    """Text from outside, as a terminal may have it: neither control characters nor markup."""
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return Text("".join(shown))


def clock(time: datetime) -> str:
    """A time in UTC, to the millisecond, without its zone."""
    moment = time.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(sep=" ", timespec="milliseconds")


def from_bytes(data: bytes | None) -> Text:
    """Bytes as text where they are UTF-8, else in base64."""
    if data is None:
        return Text("none")
    try:
        return safe(data.decode())
    except UnicodeDecodeError:
        return Text(f"base64 {b64encode(data).decode()}")


def for_json(value: Any) -> Any:
    """A tree of dataclasses and named tuples as JSON has it.

    A place is text as operators write it, a time RFC 3339, an exact number text, and bytes are
    text where they are UTF-8, else ``{"base64": …}``.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, RecordId):
        return str(value)
    if dataclasses.is_dataclass(value):
        names = (field.name for field in dataclasses.fields(value))
        return {name: for_json(getattr(value, name)) for name in names}
    if hasattr(value, "_asdict"):
        return for_json(value._asdict())
    if isinstance(value, dict):
        return {str(key): for_json(one) for key, one in value.items()}
    return [for_json(one) for one in value] if isinstance(value, list | tuple) else str(value)


def _bytes(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}
