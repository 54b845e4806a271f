"""Tables of PostgreSQL and MariaDB as DataFrames."""

from __future__ import annotations

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from watershed.errors import StoreError
from watershed.settings import Settings
from watershed.spark.java import first_line

TIMEOUT_S = 10


def read(spark: SparkSession, settings: Settings, store: str, table: str) -> DataFrame:
    """A table of ``postgres`` or ``mysql``. Raises StoreError when it cannot be read.

    The password is given at run time, so it is in no argument list; Spark redacts it in plans.
    """
    name, options = _mysql(settings) if store == "mysql" else _postgres(settings)
    try:
        return spark.read.format("jdbc").options(**options, dbtable=table).load()
    except Py4JJavaError as error:
        raise StoreError(
            f"{name}, table {table}: {first_line(error.java_exception)}",
            "is the server started, and does it have the table? ./ws status, ./ws up",
        ) from None


def _postgres(settings: Settings) -> tuple[str, dict[str, str]]:
    server = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_database}"
    return f"PostgreSQL at {server}", {
        "url": f"jdbc:postgresql://{server}?connectTimeout={TIMEOUT_S}",
        "driver": "org.postgresql.Driver",
        "user": settings.postgres_user,
        "password": settings.secret("postgres_password"),
    }


def _mysql(settings: Settings) -> tuple[str, dict[str, str]]:
    """By MySQL's scheme: under another, Spark 3.5 would quote names as MariaDB quotes strings."""
    server = f"{settings.mysql_host}:{settings.mysql_port}/{settings.mysql_database}"
    timeout_ms = TIMEOUT_S * 1000
    return f"MariaDB at {server}", {
        "url": f"jdbc:mysql://{server}?permitMysqlScheme&connectTimeout={timeout_ms}",
        "driver": "org.mariadb.jdbc.Driver",
        "user": settings.mysql_user,
        "password": settings.secret("mysql_password"),
    }
