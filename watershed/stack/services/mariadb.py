"""MariaDB, which speaks MySQL: a server for the treasury's reference data."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from pwd import struct_passwd

from watershed.errors import StackError
from watershed.provision.mariadb import ensure_database
from watershed.stack.data_folder import new_data_folder
from watershed.stack.home import Home, write_private
from watershed.stack.mariadb_programs import fetch, program
from watershed.stack.processes import as_user
from watershed.stack.server_user import server_user
from watershed.stack.service import Service, render
from watershed.stores.reachable import listens

INIT = """\
ALTER USER root@localhost IDENTIFIED BY '{password}';
DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
FLUSH PRIVILEGES;
"""
"""Run by the server before it answers anybody, at every start."""


def mariadb(home: Home) -> Service:
    """The server; database, role and tables are made once it answers."""
    folder = home.mariadb_data
    config = folder / "mariadb.cnf"
    user = server_user()

    def prepare() -> None:
        if not folder.exists():
            _install(folder, user)
        _configure(home, folder, user)

    def after() -> None:
        settings = home.settings()
        ensure_database(settings, settings.secret("mysql_admin_password"))

    return Service(
        "mariadb",
        (program("bin/mariadbd"), f"--defaults-file={config}"),
        ready=lambda: listens(f"127.0.0.1:{home.ports.mysql}"),
        prepare=prepare,
        after=after,
        user=user,
    )


def _install(folder: Path, user: struct_passwd | None) -> None:
    """Make the data folder with its system tables."""
    with new_data_folder(folder, user) as part:
        command = [program("scripts/mariadb-install-db"), "--no-defaults", f"--basedir={fetch()}",
                   f"--datadir={part / 'tables'}", f"--tmpdir={part}", "--skip-test-db",
                   "--auth-root-authentication-method=normal"]  # fmt: skip
        # A script that needs the usual programs, whatever PATH this process was given.
        done = subprocess.run(
            command, env={"PATH": os.defpath}, capture_output=True, text=True, cwd=part,
            **as_user(user),
        )  # fmt: skip
        if done.returncode:
            raise StackError(
                f"MariaDB could not make its data folder: {(done.stdout + done.stderr)[-600:]}",
                "is there room on the disk? ./ws up --no-batch does without it",
            )


def _configure(home: Home, folder: Path, user: struct_passwd | None) -> None:
    init = folder / "init.sql"
    password = home.secret("mysql_admin_password")  # no character of it needs quoting
    write_private(init, INIT.format(password=password), user)
    values = {
        "basedir": str(fetch()),
        "data": str(folder / "tables"),
        "tmp": str(folder),
        "init": str(init),
    }
    write_private(folder / "mariadb.cnf", render("mariadb.cnf", home, **values), user)
