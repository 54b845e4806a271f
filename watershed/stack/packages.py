"""Where installed packages keep the servers, shells and jars that they bring."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from watershed.errors import StackError


def package_folder(name: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise StackError(f"the package {name} is not installed", "start Watershed with ./ws")
    return Path(spec.origin).parent
