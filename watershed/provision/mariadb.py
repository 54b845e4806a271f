"""MariaDB's database, role and tables of reference data, and the rows that they begin with."""

from __future__ import annotations

from pymysql.connections import Connection
from pymysql.cursors import Cursor

from watershed.settings import Settings
from watershed.stores.mariadb import connect
from watershed.stores.seeds import ddl, seeds

ADMIN = "root"
STORE = "mysql"


def ensure_database(settings: Settings, admin_password: str) -> None:
    """Make the database with its tables, and the role that reads it, as the administrator.

    Rows of ``schemas/reference/mysql`` are inserted where there is none of their key.
    """
    with connect(settings, user=ADMIN, password=admin_password, database=None) as connection:
        cursor = connection.cursor()
        name = _quoted(settings.mysql_database)
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {name}")
        _ensure_reader(cursor, settings)
        connection.select_db(settings.mysql_database)
        ensure_tables(connection, settings)


def _ensure_reader(cursor: Cursor, settings: Settings) -> None:
    role = [settings.mysql_user, "%"]
    for verb in ("CREATE USER IF NOT EXISTS", "ALTER USER"):
        password = settings.secret("mysql_password")
        cursor.execute(f"{verb} %s@%s IDENTIFIED BY %s", [*role, password])
    cursor.execute(f"GRANT SELECT ON {_quoted(settings.mysql_database)}.* TO %s@%s", role)


def ensure_tables(connection: Connection[Cursor], settings: Settings) -> None:
    """Make the tables that are missing, and insert the rows that are."""
    cursor = connection.cursor()
    for statement in ddl(settings.schemas_dir, STORE).split(";\n"):
        if statement.strip():
            cursor.execute(statement)
    for table, columns, rows in seeds(settings.schemas_dir, STORE):
        names = ", ".join(map(_quoted, columns))
        values = ", ".join(["%s"] * len(columns))
        key = _quoted(columns[0])
        cursor.executemany(
            f"INSERT INTO {_quoted(table)} ({names}) VALUES ({values})"
            f" ON DUPLICATE KEY UPDATE {key} = {key}",
            rows,
        )
    connection.commit()


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
