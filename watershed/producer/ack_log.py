"""What producers send, and the log of what Kafka acknowledged of it."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from pathlib import Path
from typing import BinaryIO, NamedTuple


class Record(NamedTuple):
    """One record to send. ``kind`` says what the source meant it to be, for the ack log."""

    key: bytes
    value: bytes
    kind: str = "valid"


class AckLog:
    """A file with one JSON object per line for each acknowledged record.

    Keys: ``partition``, ``offset``, ``timestamp`` (ms; the broker's when the topic has
    LogAppendTime), ``kind``, and ``key`` and ``value`` as text, or ``key_base64`` and
    ``value_base64`` where the bytes are not UTF-8. A line is one ``write``, so a killed
    producer leaves whole lines.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` for appending; raises OSError."""
        self._file: BinaryIO = path.open("ab+", buffering=0)
        if end := self._file.seek(0, os.SEEK_END):
            self._file.seek(end - 1)
            if self._file.read() != b"\n":
                # A full disk cut the last line: what follows must not be glued to it.
                self._file.write(b"\n")

    def write(self, record: Record, partition: int, offset: int, timestamp_ms: int) -> None:
        """Append one line; raises OSError, also when the disk takes only a part of it."""
        line = {"partition": partition, "offset": offset, "timestamp": timestamp_ms}
        fields = line | {"kind": record.kind} | _text("key", record.key)
        data = json.dumps(fields | _text("value", record.value)).encode() + b"\n"
        if self._file.write(data) != len(data):
            raise OSError(f"{self._file.name}: only a part of a line could be written")


def _text(name: str, data: bytes) -> dict[str, str]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(data).decode()}
