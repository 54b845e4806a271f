"""A place: where Kafka put a record, as operators write it: ``transaction/0/1234``."""

from __future__ import annotations

import re
from typing import NamedTuple

WRITTEN = re.compile(r"([a-z][a-z0-9_]*)/([0-9]{1,9})/([0-9]{1,18})")


class Place(NamedTuple):
    """Event type, Kafka partition and offset, in the topic whose offsets are committed."""

    type: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.type}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that ``text`` says; raises ValueError."""
        found = WRITTEN.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no place: write type/partition/offset")
        return cls(found[1], int(found[2]), int(found[3]))
