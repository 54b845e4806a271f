"""Whom databases run as, and what that user can reach."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from watershed.errors import StackError

SERVER_USERS = ("postgres", "nobody")  # whom databases drop to under root, first that exists


def server_user() -> pwd.struct_passwd | None:
    """Whom databases run as: None for the user itself, somebody harmless for root.

    Raises StackError where root's machine has nobody harmless.
    """
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    for name in SERVER_USERS:
        if name in known:
            return known[name]
    raise StackError("PostgreSQL refuses to run as root", "add a user named postgres")


def obstacle(path: Path, user: pwd.struct_passwd) -> Path | None:
    """What keeps ``user`` from ``path``: the topmost folder, or the program itself; None: nothing.

    What is not there yet keeps nobody out.
    """
    for there in (*reversed(path.parents), path):
        if there.exists() and not _passes(there, user):
            return there
    return None


def _passes(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether ``user`` may pass through a folder, or run a program."""
    found = path.stat()
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & 0o100)
    if found.st_gid == user.pw_gid:
        return bool(found.st_mode & 0o010)
    return bool(found.st_mode & 0o001)
