"""A database's data folder: of its own user's alone, and made whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pwd import struct_passwd

from watershed.stack.home import PART


@contextmanager
def new_data_folder(data: Path, user: struct_passwd | None) -> Iterator[Path]:
    """An empty folder of ``user``'s, which becomes ``data`` when the block ends well."""
    part = data.with_name(data.name + PART)
    shutil.rmtree(part, ignore_errors=True)
    if not part.parent.exists():
        part.parent.mkdir()
        part.parent.chmod(0o711)  # the server's user passes through
    part.mkdir(mode=0o700)
    if user is not None:
        os.chown(part, user.pw_uid, user.pw_gid)
    yield part
    part.rename(data)
