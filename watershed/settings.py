"""The one place that reads the environment: every address and limit, in one frozen object.

A setting comes from, first to last: the command line of a job (``--kafka-brokers …``), the
environment (``WATERSHED_KAFKA_BROKERS``), the local stack's ``settings.env``, the default here.
Passwords come from files alone, one per secret, in ``secrets_dir``: never from the environment
or an argument list, where other users of the machine could read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from watershed.errors import SettingsError

PREFIX = "WATERSHED_"
Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """Every setting of the pipeline; units are in the names."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", cli_kebab_case=True, cli_avoid_json=True
    )

    schemas_dir: Path = Field(Path("schemas"), description="folder of the contracts")
    secrets_dir: Path = Field(Path("/run/secrets"), description="folder of one file per password")
    scratch_dir: Path = Field(Path("scratch"), description="where Spark may write what it can lose")

    kafka_brokers: str = Field("127.0.0.1:9092", description="host:port, several by comma")
    topics: dict[str, str] = Field(
        {}, description="topics of other names than the contracts say: type=topic"
    )

    cassandra_host: str = Field("127.0.0.1", description="contact points, several by comma")
    cassandra_port: Port = Field(9042, description="native protocol port")
    cassandra_user: str = Field("watershed", description="role that reads and writes events")
    cassandra_datacenter: str = Field("datacenter1", description="data centre of LOCAL_QUORUM")
    cassandra_keyspace: str = Field("events", description="keyspace of the raw store")
    cassandra_replication: Positive = Field(1, description="replicas a row has in the data centre")

    postgres_host: str = Field("127.0.0.1", description="server of the commit")
    postgres_port: Port = Field(5432, description="its port")
    postgres_database: str = Field("watershed", description="its database")
    postgres_user: str = Field("watershed", description="role that owns the tables")
    postgres_reader: str = Field("watershed_reader", description="role that may read report.*")

    mysql_host: str = Field("127.0.0.1", description="server of the treasury's reference data")
    mysql_port: Port = Field(3306, description="its port")
    mysql_database: str = Field("treasury", description="its database")
    mysql_user: str = Field("watershed", description="role that reads it")

    redis_host: str = Field("127.0.0.1", description="server of the cache")
    redis_port: Port = Field(6379, description="its port")
    cache_ttl_s: Positive = Field(
        86_400, description="seconds a cached key outlives its last write"
    )

    spark_master: str = Field("local[3]", description="where Spark runs its tasks")
    spark_jars: str = Field("", description="class path of the connectors: folder/*")
    spark_java_options: str = Field("", description="more options of the driver's JVM")
    spark_driver_memory_mb: Positive = Field(1024, description="heap of the driver")
    spark_ui_port: int = Field(4040, description="port of Spark's page; 0 switches it off")

    parent_pid: int = Field(
        0, ge=0, description="process that a job or command must not outlive; 0: none"
    )

    stream_trigger_ms: int = Field(500, ge=0, description="shortest time between batches")
    stream_max_events: Positive = Field(120_000, description="most events of one batch")
    broker_ahead_max_s: Positive = Field(
        300, description="how far Kafka's clock may be ahead of this machine's"
    )

    lake_dir: Path = Field(Path("lake"), description="folder of the Parquet lake")
    batch_interval_s: Positive = Field(
        3600, description="arrival time that one interval covers; a divisor of a day, in minutes"
    )
    batch_max_events: Positive = Field(
        20_000_000, description="most events of one run, unless a single interval has more"
    )
    gate_timeout_s: Positive = Field(
        900, description="how long an enrichment waits for the watermark"
    )

    def secret(self, name: str) -> str:
        """The password kept in the file ``name`` of ``secrets_dir``."""
        path = self.secrets_dir / name
        try:
            return path.read_text().strip()
        except OSError as error:
            raise SettingsError(
                f"no password {name}: {path}: {error.strerror}",
                f"put it into that file, or point {PREFIX}SECRETS_DIR at the folder that has it",
            ) from None


def load_settings(env_file: Path | None = None, arguments: Sequence[str] = ()) -> Settings:
    """Read the settings; every mistake is named by key and value in one SettingsError.

    ``arguments`` are a job's: ``--kafka-brokers host:port``; ``--help`` prints them all and exits.
    """
    try:
        return Settings(_env_file=env_file, _cli_parse_args=list(arguments))  # type: ignore[call-arg]
    except ValidationError as error:
        raise SettingsError("\n".join(map(_mistake, error.errors())), "correct them") from None


def _mistake(error: Any) -> str:
    key = ".".join(map(str, error["loc"])).upper()
    return f"{PREFIX}{key.removeprefix(PREFIX)}={error['input']!r}: {error['msg']}"
