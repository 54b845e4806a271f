"""Why an event is refused: the codes that quarantine, producers and the API share."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A reason code; ``docs/contracts.md`` tells each one, and which of two comes first."""

    NULL_VALUE = "null_value"
    OVERSIZE = "oversize"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    DUPLICATE_KEY = "duplicate_key"
    MISSING_FIELD = "missing_field"
    MISTYPED_FIELD = "mistyped_field"
    UNPARSABLE_TIME = "unparsable_time"
    LOSSY_NUMBER = "lossy_number"
    OUT_OF_ENUM = "out_of_enum"
    OUT_OF_RANGE = "out_of_range"
    PATTERN_MISMATCH = "pattern_mismatch"
    FUTURE_EVENT_TIME = "future_event_time"  # needs the kafka time: only the stream can tell
