"""What keeps the databases' user from a file: here this one, who owns all of it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from watershed.stack.server_user import obstacle


@pytest.mark.parametrize("closed", ["cache", "cache/env", "cache/env/program"])
def test_the_topmost_that_may_not_be_passed_is_named(closed: str, tmp_path: Path) -> None:
    user = pwd.getpwuid(os.getuid())
    program = tmp_path / "cache" / "env" / "program"
    assert obstacle(program, user) is None  # it is not there yet
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    assert obstacle(program, user) is None
    (tmp_path / closed).chmod(0o600)
    found = obstacle(program, user)
    (tmp_path / closed).chmod(0o700)  # for whoever tidies up
    assert found == tmp_path / closed
