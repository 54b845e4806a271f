"""After a write that failed nothing goes through the session that it went through."""

from __future__ import annotations

import json

from tests.support.spark import run
from tests.support.stack import Stack


def test_a_session_that_a_failed_write_keeps_is_not_used_again(stack: Stack) -> None:
    printed, _ = run(stack, stack.settings, "-m", "tests.support.programs.renewing")
    why, left, used, closed = json.loads(printed.splitlines()[-1])
    assert "ttl is too large" in why
    assert left
    assert used
    assert not {*left} & {*used}
    assert closed == []
