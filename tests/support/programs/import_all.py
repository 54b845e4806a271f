"""Imports every module, in an interpreter that tells what doing so does.

``python import_all.py PACKAGE…`` prints, as JSON, what was ``imported``, what was ``skipped`` since
Airflow is not here, and what modules of ours ``did`` meanwhile and must not. Others may do it.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NOT_INSTALLED = "airflow"  # in an environment of its own
EVENTS = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir")
DID: list[str] = []


class Environment(os._Environ):  # type: ignore[type-arg]  # (is not generic when it runs)
    """The environment, which tells of who reads our settings or where things are."""

    def __getitem__(self, key: str) -> str:
        if key == "HOME" or key.startswith(("WATERSHED_", "XDG_")):
            tell(f"reads {key}")
        return str(super().__getitem__(key))

    def __iter__(self) -> Iterator[str]:
        tell("reads the whole environment")
        return super().__iter__()


def tell(what: str) -> None:
    """Note what happens now, if the module that is being imported is ours."""
    frame = sys._getframe(1)
    ours = ""
    while frame and "importlib" not in frame.f_code.co_filename:
        path = frame.f_code.co_filename
        if path.startswith(f"{ROOT}/") and path != __file__:
            ours = f"{path.removeprefix(f'{ROOT}/')}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    if ours:
        DID.append(f"{ours} {what}")


def modules(package: str) -> Iterator[str]:
    """The names of a package and of all below it, but for programs that run when imported."""
    yield package
    for _, name, _ in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
        if not name.endswith("__main__"):
            yield name


def main(packages: list[str]) -> None:
    """Import them all. Raises what an import does, except that Airflow is not here."""
    sys.argv = ["import_all.py", "--no-such-option"]  # whoever parses arguments stops at it
    os.geteuid = lambda: 1000  # root's home does not depend on variables
    os.environ.__class__ = Environment
    sys.addaudithook(lambda event, _: tell(event) if event in EVENTS else None)
    imported, skipped = [], []
    for name in (name for package in packages for name in modules(package)):
        try:
            importlib.import_module(name)
            imported.append(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != NOT_INSTALLED:
                raise
            skipped.append(name)
    print(json.dumps({"imported": imported, "skipped": skipped, "did": DID}))


if __name__ == "__main__":
    main(sys.argv[1:])
