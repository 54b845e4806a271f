"""The launcher: for whom it makes the Python environment."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from watershed.stack.home import ROOT


@pytest.fixture
def ws() -> ModuleType:
    """``./ws`` as a module; it has no suffix."""
    spec = importlib.util.spec_from_loader("ws", SourceFileLoader("ws", str(ROOT / "ws")))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=[0o027, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What hides new files from others."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("user", [0, 1000])
def test_root_makes_it_for_the_databases_user_and_others_for_themselves(
    user: int, umask: int, ws: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "new" / "cache"
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(ws, "build", lambda env, _: env.mkdir())
    env = ws.environment(cache)
    expected = 0o755 if user == 0 else 0o777 & ~umask
    assert [path.stat().st_mode & 0o777 for path in (env, cache, cache.parent)] == [expected] * 3
    assert os.umask(umask) == umask  # what comes after it is hidden again
