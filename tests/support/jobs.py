"""Jobs of the batch layer as Airflow runs them, on stores of their own in the stack's servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from psycopg2 import sql

from watershed.contracts.load import load_contracts
from watershed.provision.mariadb import ADMIN as MARIADB_ADMIN
from watershed.provision.mariadb import ensure_database as ensure_mariadb
from watershed.provision.postgres import ADMIN, ensure_database, ensure_tables
from watershed.settings import PREFIX, Settings
from watershed.stack.home import ROOT
from watershed.stack.jars import class_path
from watershed.stack.java import java_home
from watershed.stack.packages import package_folder
from watershed.stack.spark import spark_environment
from watershed.stores import mariadb, postgres

JOB_TIMEOUT_S = 200


@dataclass(frozen=True)
class Jobs:
    """Stores that only one test has, and the jobs that work on them."""

    settings: Settings

    def run(self, job: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Submit a job, in a process group of its own; standard output and error in one."""
        submit = package_folder("pyspark") / "bin" / "spark-submit"
        command = [submit, "--driver-class-path", class_path("spark"), ROOT / "jobs" / job]
        return subprocess.run(
            [*command, *options],
            env=os.environ | spark_environment() | self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=JOB_TIMEOUT_S,
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        values = self.settings.model_dump(mode="json", exclude_unset=True)
        return {
            "PYTHONPATH": str(ROOT),
            "JAVA_HOME": str(java_home()),
            **{
                PREFIX + name.upper(): value if isinstance(value, str) else json.dumps(value)
                for name, value in values.items()
            },
        }

    def die_at(self, failpoint: str, job: str, *options: str) -> None:
        """Run a job that is killed, with all its processes, at a failpoint."""
        (self.settings.scratch_dir / "failpoint").write_text(failpoint)
        done = self.run(job, *options)
        assert done.returncode == -signal.SIGKILL, done.stdout

    def folders(self, pattern: str) -> list[str]:
        """Folders of the lake that match a pattern, hidden ones too."""
        return sorted(
            str(path.relative_to(self.settings.lake_dir))
            for path in self.settings.lake_dir.glob(pattern)
        )


@contextmanager
def jobs_of(stack: Settings, folder: Path) -> Iterator[Jobs]:
    """Databases and a lake, gone at the end; ``stack`` is the settings of a running one."""
    name = f"test_{uuid4().hex[:8]}"
    own = {"postgres_database": name, "mysql_database": name}
    places = {"lake_dir": folder / "lake", "scratch_dir": folder / "scratch"}
    settings = stack.model_copy(update={**own, **places})
    settings.scratch_dir.mkdir()
    admin = settings.secret("postgres_admin_password")
    ensure_database(settings, ADMIN, admin)
    ensure_tables(settings, load_contracts(settings.schemas_dir).values())
    ensure_mariadb(settings, settings.secret("mysql_admin_password"))
    try:
        yield Jobs(settings)
    finally:
        with treasury(settings) as cursor:
            cursor.execute(f"DROP DATABASE {name}")
        with postgres.connect(settings, dbname="postgres", user=ADMIN, password=admin) as server:
            server.autocommit = True
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            server.cursor().execute(drop)


@contextmanager
def treasury(settings: Settings) -> Iterator[mariadb.Cursor]:
    """MariaDB as its administrator; committed at the end."""
    password = settings.secret("mysql_admin_password")
    with mariadb.connect(settings, user=MARIADB_ADMIN, password=password) as connection:
        yield connection.cursor()
        connection.commit()
