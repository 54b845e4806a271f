"""Where a local stack keeps what it has: data, logs, secrets and ports, under one folder."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import secrets
import shutil
import sys
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass
from pathlib import Path

from watershed.errors import StackError
from watershed.settings import PREFIX, Settings, load_settings
from watershed.stack.server_user import obstacle, server_user

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {
    "airflow_database_password": 24,
    "airflow_fernet_key": 32,  # as Fernet wants it
    "airflow_jwt_secret": 66,  # a SHA-512 signature needs 64
    "airflow_password": 24,
    "airflow_secret_key": 24,
    "cassandra_admin_password": 24,
    "cassandra_password": 24,
    "mysql_admin_password": 24,
    "mysql_password": 24,
    "postgres_admin_password": 24,
    "postgres_password": 24,
    "postgres_reader_password": 24,
    "redis_password": 24,
}
"""The secrets of a home, and of how many random bytes each is made."""

ENTRIES = ("data", "logs", "run", "scratch", "secrets", "settings.env", "stack.json")
"""All that a home holds, with PART behind it while it is written. Nothing else is ever touched."""

PART = ".part"

EXPORTED = {PREFIX + name.upper() for name in Settings.model_fields if name != "parent_pid"}
"""Settings that may stand in the environment of ``up``: later commands find them in the home."""

BATCH_INTERVAL_S = 300  # short enough to see one finalize; the setting's own default is an hour


@dataclass(frozen=True)
class Ports:
    """The ports of one stack: each server's standard one plus the stack's offset."""

    kafka: int
    kafka_controller: int
    cassandra: int
    cassandra_storage: int
    postgres: int
    redis: int
    spark_ui: int
    mysql: int
    airflow: int

    @classmethod
    def at(cls, offset: int) -> Ports:
        """The standard ports moved by ``offset``."""
        ports = cls(9092, 9093, 9042, 7000, 5432, 6379, 4040, 3306, 8080)
        return cls(*(port + offset for port in asdict(ports).values()))


def default_home() -> Path:
    """Root's home lies outside /root, so that the databases' user can reach their data."""
    if os.geteuid() == 0:
        return Path("/var/lib/watershed")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "watershed"


def cache_dir() -> Path:
    """The user's cache of environments and jars: the folder that holds this environment."""
    return Path(sys.prefix).parent


@dataclass(frozen=True)
class Home:
    """One stack's folder. ``port_offset`` is kept in it from the first start on."""

    path: Path
    port_offset: int = 0

    @classmethod
    def open(cls, path: Path, port_offset: int | None = None) -> Home:
        """The home at ``path``, with the offset given or else the one it was started with.

        Raises StackError when it is another user's.
        """
        path = path.resolve()
        config = path / "stack.json"
        try:
            kept = json.loads(config.read_text())["port_offset"] if config.exists() else 0
        except PermissionError:
            raise StackError(f"{path} is another user's", "give --home one of your own") from None
        return cls(path, kept if port_offset is None else port_offset)

    @property
    def ports(self) -> Ports:
        return Ports.at(self.port_offset)

    @property
    def exists(self) -> bool:
        return (self.path / "stack.json").exists()

    def foreign(self) -> list[str]:
        """What lies in the folder and is not a stack's."""
        return sorted(path.name for path in self._content() if not _is_entry(path))

    def entries(self) -> list[Path]:
        """What is there of ENTRIES, and what a killed process had begun of it."""
        return [path for path in self._content() if _is_entry(path)]

    def _content(self) -> list[Path]:
        return list(self.path.iterdir()) if self.path.exists() else []

    def folder(self, *parts: str) -> Path:
        """A folder below the home, made for its owner alone."""
        path = self.path.joinpath(*parts)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @property
    def data(self) -> Path:
        return self.folder("data")

    @property
    def logs(self) -> Path:
        return self.folder("logs")

    @property
    def run(self) -> Path:
        return self.folder("run")

    @property
    def scratch(self) -> Path:
        """What may be lost at any time; emptied at each start."""
        return self.folder("scratch")

    def log(self, service: str) -> Path:
        """The file with all that a service prints."""
        return self.logs / f"{service}.log"

    @property
    def postgres_data(self) -> Path:
        return self._server_data("postgres")

    @property
    def mariadb_data(self) -> Path:
        return self._server_data("mariadb")

    def _server_data(self, server: str) -> Path:
        """A database's data: below the home where its user can reach it, else in /var/lib."""
        user = server_user()
        if user is None or obstacle(self.path.parent, user) is None:
            return self.path / "data" / server
        name = hashlib.sha256(str(self.path).encode()).hexdigest()[:12]
        return Path(f"/var/lib/watershed-{server}") / name

    def prepare(self) -> None:
        """Make the folder, its secrets and its settings; repeated calls keep the secrets."""
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.data):
            folder.chmod(0o711)  # the databases' user passes through; what is in it is closed
        self.folder("secrets")
        shutil.rmtree(self.path / "scratch", ignore_errors=True)  # what killed processes left
        for name, random_bytes in SECRETS.items():
            self._make_secret(name, random_bytes)
        write_private(self.path / "stack.json", json.dumps({"port_offset": self.port_offset}))
        write_private(self.path / "settings.env", self._settings_env())

    def settings(self) -> Settings:
        """The settings of this stack; the environment may override one."""
        if not self.exists:
            raise StackError(f"no stack at {self.path}", "start one with ./ws up, or name --home")
        return load_settings(self.path / "settings.env")

    def secret(self, name: str) -> str:
        return (self.path / "secrets" / name).read_text()

    def _make_secret(self, name: str, random_bytes: int) -> None:
        path = self.path / "secrets" / name
        if not path.exists():
            write_private(path, urlsafe_b64encode(secrets.token_bytes(random_bytes)).decode())

    def _settings_env(self) -> str:
        ports = self.ports
        values = {
            "SCHEMAS_DIR": ROOT / "schemas",
            "SECRETS_DIR": self.path / "secrets",
            "SCRATCH_DIR": self.scratch,
            "KAFKA_BROKERS": f"127.0.0.1:{ports.kafka}",
            "CASSANDRA_PORT": ports.cassandra,
            "POSTGRES_PORT": ports.postgres,
            "MYSQL_PORT": ports.mysql,
            "REDIS_PORT": ports.redis,
            "SPARK_UI_PORT": ports.spark_ui,
            "LAKE_DIR": self.data / "lake",
            "BATCH_INTERVAL_S": BATCH_INTERVAL_S,
        }
        own = {f"{PREFIX}{key}": str(value) for key, value in values.items()}
        exported = {key: value for key, value in os.environ.items() if key in EXPORTED}
        return "".join(f"{key}={value}\n" for key, value in {**own, **exported}.items())


def write_private(path: Path, text: str, owner: pwd.struct_passwd | None = None) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Safe in a folder of ``owner``'s when root writes: no link that lies there is followed.
    """
    part = path.with_name(path.name + PART)
    part.unlink(missing_ok=True)
    with open(part, "x", opener=_open_new) as file:
        if owner is not None:
            os.fchown(file.fileno(), owner.pw_uid, owner.pw_gid)
        file.write(text)
    part.rename(path)


def _open_new(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _is_entry(path: Path) -> bool:
    return path.name.removesuffix(PART) in ENTRIES
