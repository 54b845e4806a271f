"""Cassandra: one node from Maven Central's jars, with passwords from its first minute on."""

from __future__ import annotations

from watershed.contracts.load import load_contracts
from watershed.provision.cassandra import ensure_roles, ensure_tables
from watershed.stack.home import ROOT, Home, write_private
from watershed.stack.jars import class_path, fetch
from watershed.stack.java import jvm
from watershed.stack.service import Service, render
from watershed.stores.reachable import listens

HEAP_MB = 1024


def cassandra(home: Home) -> Service:
    """The node; keyspace, roles and tables are made once it answers."""
    data = home.data / "cassandra"
    config = home.run / "cassandra.yaml"

    def prepare() -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        write_private(config, render("cassandra.yaml", home, data=str(data)))

    def after() -> None:
        settings = home.settings()
        ensure_roles(settings, admin_password=settings.secret("cassandra_admin_password"))
        ensure_tables(settings, load_contracts(settings.schemas_dir, settings.topics).values())

    return Service(
        "cassandra",
        (*_java(home), f"-Dcassandra.config=file://{config}", f"-Dcassandra.storagedir={data}",
         "-cp", class_path("cassandra"), "org.apache.cassandra.service.CassandraDaemon"),
        ready=lambda: listens(f"127.0.0.1:{home.ports.cassandra}"),
        prepare=prepare,
        after=after,
        stop_timeout_s=60,
    )  # fmt: skip


def _java(home: Home) -> tuple[str, ...]:
    local = ROOT / "infra" / "local"
    modules = (local / "cassandra-java17.txt").read_text().split()
    agent = next(fetch("cassandra").glob("jamm-*.jar"))
    return (
        *jvm(HEAP_MB, home.scratch),
        f"-Xms{HEAP_MB // 2}m",
        f"-javaagent:{agent}",
        *modules,
        f"-Dlogback.configurationFile={local / 'logback.xml'}",
        "-Dcassandra.foreground=yes",
        # The first role is made at once, not after the default ten seconds.
        "-Dcassandra.superuser_setup_delay_ms=0",
        # A single node has nobody to wait for.
        "-Dcassandra.ring_delay_ms=0",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dio.netty.tryReflectionSetAccessible=true",
    )
