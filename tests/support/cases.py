"""How the files of ``schemas/*/rejected`` are read."""

from __future__ import annotations

import base64
from typing import Any


def raw(case: dict[str, Any]) -> bytes | None:
    """The record's value in a file of ``rejected/``."""
    if encoded := case.get("value_base64"):
        return base64.b64decode(str(encoded))
    if case["value"] is None:
        return None
    return str(case["value"]).encode() + b" " * int(case.get("pad_bytes", 0))
