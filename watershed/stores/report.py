"""Schema ``report``: facts of each contract, what is added up from them, and who may read it."""

from __future__ import annotations

from pathlib import Path

from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection

from watershed.contracts.model import Contract
from watershed.contracts.query import REPORT_FILE
from watershed.errors import StoreError
from watershed.settings import Settings
from watershed.stores import aggregates, facts
from watershed.stores.facts import SCHEMA, Column
from watershed.stores.locks import lock_publishing


def ensure_tables(connection: Connection, contract: Contract, schemas_dir: Path) -> None:
    """Make a contract's report, uncommitted: facts, sums, and the rest of its ``report.sql``.

    The first statement of that file declares the fact table. Columns that it adds, and that may be
    null, are added; StoreError is raised for any other change.
    """
    if contract.report is None:
        return
    lock_publishing(connection, contract.type)
    path = schemas_dir / contract.type / REPORT_FILE
    declaration, _, rest = path.read_text(encoding="utf-8").partition(";\n")
    cursor = connection.cursor()
    if facts.columns(connection, contract.type):
        _extend(connection, contract, _declared(connection, contract, declaration))
    else:
        cursor.execute(declaration)
    facts.check_columns(connection, contract)
    aggregates.ensure_tables(connection, contract)
    _keep_apart(connection, contract)
    try:
        cursor.execute(rest.strip() or "SELECT")
    except errors.InvalidTableDefinition as error:
        raise StoreError(
            f"schemas/{contract.type}/{REPORT_FILE}: {str(error).splitlines()[0]}",
            "a view may gain columns at its end; for any other change DROP VIEW it first",
        ) from None


def _declared(connection: Connection, contract: Contract, declaration: str) -> dict[str, Column]:
    """The columns that the file declares: made in a schema of that name that is then forgotten."""
    cursor = connection.cursor()
    cursor.execute("SAVEPOINT declared")
    cursor.execute(f"ALTER SCHEMA {SCHEMA} RENAME TO report_kept; CREATE SCHEMA {SCHEMA}")
    cursor.execute(declaration)
    found = facts.columns(connection, contract.type)
    cursor.execute("ROLLBACK TO SAVEPOINT declared")
    return found


def _extend(connection: Connection, contract: Contract, declared: dict[str, Column]) -> None:
    found = facts.columns(connection, contract.type)
    added = {name: one for name, one in declared.items() if name not in found}
    changed = [name for name, one in found.items() if declared.get(name) != one]
    changed += [name for name, one in added.items() if not one.nullable]
    if changed:
        raise StoreError(
            f"schemas/{contract.type}/{REPORT_FILE} declares {', '.join(changed)} of"
            f" report.{contract.type} otherwise than the table has it",
            f"undo that, and add a column that may be null; ./ws rebuild report {contract.type}"
            " fills it",
        )
    for name, one in added.items():
        connection.cursor().execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                facts.table(contract), sql.Identifier(name), sql.SQL(one.type)
            )
        )


def _keep_apart(connection: Connection, contract: Contract) -> None:
    """No two intervals of the contract overlap, whoever writes the ledger.

    One constraint per contract: equality of types would need an extension in the same index.
    """
    name = f"interval_{contract.type}_apart"
    cursor = connection.cursor()
    cursor.execute("SELECT FROM pg_constraint WHERE conname = %s", [name])
    if cursor.fetchone() is None:
        cursor.execute(
            sql.SQL(
                "ALTER TABLE control.interval ADD CONSTRAINT {} EXCLUDE USING gist"
                " (tstzrange(start_at, end_at) WITH &&) WHERE (type = {})"
            ).format(sql.Identifier(name), sql.Literal(contract.type))
        )


def grant_reader(connection: Connection, settings: Settings) -> None:
    """Let the reader's role read schema ``report``, now and later, and nothing else; uncommitted.

    The connection is the owner's. What the views read elsewhere they read as their owner.
    """
    names = {
        "database": sql.Identifier(settings.postgres_database),
        "reader": sql.Identifier(settings.postgres_reader),
        "report": sql.Identifier(SCHEMA),
    }
    for statement in (
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {reader}",
        "GRANT USAGE ON SCHEMA {report} TO {reader}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {report} TO {reader}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {report} GRANT SELECT ON TABLES TO {reader}",
    ):
        connection.cursor().execute(sql.SQL(statement).format(**names))
