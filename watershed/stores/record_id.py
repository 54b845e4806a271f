"""Where Kafka put a record, as operators write it: ``transaction/0/1234``."""

from __future__ import annotations

import re
from typing import NamedTuple

WRITTEN = re.compile(r"([a-z][a-z0-9_]*)/([0-9]{1,9})/([0-9]{1,18})")


class TopicPartition(NamedTuple):
    """A Kafka partition of a topic, which has another id after it was re-created."""

    topic_id: str
    partition: int


class RecordId(NamedTuple):
    """Event type, Kafka partition and offset, in the topic whose offsets are committed."""

    type: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.type}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> RecordId:
        """The record id that ``text`` says; raises ValueError."""
        match = WRITTEN.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is no record: write type/partition/offset")
        return cls(match[1], int(match[2]), int(match[3]))
