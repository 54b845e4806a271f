"""Runs the migrations over the pipeline's own connection; see ``watershed.stores.postgres``."""

from __future__ import annotations

import sqlalchemy
from alembic import context
from sqlalchemy.pool import StaticPool

with context.config.attributes["connect"]() as raw:
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg2://", creator=lambda: raw, poolclass=StaticPool
    )
    with engine.connect() as connection:
        context.configure(connection=connection, version_table="schema_version")
        with context.begin_transaction():
            context.run_migrations()
