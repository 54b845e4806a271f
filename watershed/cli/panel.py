"""The panel of addresses that ``./ws up`` ends in."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table

from watershed.contracts.load import load_contracts
from watershed.stack.home import Home
from watershed.stack.services.airflow import API, PASSWORD, USER
from watershed.stack.state import read_state


def addresses(stack: Home) -> Panel:
    """Where a running stack's servers are, and what its contracts put there."""
    ports, settings = stack.ports, stack.settings()
    contracts = load_contracts(settings.schemas_dir, settings.topics)
    topics = ", ".join(contract.topic.name for contract in contracts.values())
    positions = [
        f"./ws sql -c 'TABLE report.{name}_position'"
        for name, contract in contracts.items()
        if contract.report
    ]
    state = read_state(stack)
    batch = {
        "MariaDB": f"127.0.0.1:{ports.mysql}   ./ws mysql",
        "Airflow": f"http://127.0.0.1:{ports.airflow}   {USER}, secrets/{PASSWORD}",
    }
    rows = {
        "Kafka": f"127.0.0.1:{ports.kafka}   topics {topics}",
        "Cassandra": f"127.0.0.1:{ports.cassandra}   ./ws cql",
        "PostgreSQL": f"127.0.0.1:{ports.postgres}   ./ws sql",
        "Redis": f"127.0.0.1:{ports.redis}   ./ws redis",
        "Spark": f"http://127.0.0.1:{ports.spark_ui}",
        **(batch if state and API in state.services else {}),
        **({"report": "\n".join(positions)} if positions else {}),
        "now": "./ws status",
        "true": "./ws audit",
        "logs": "./ws logs stream -f",
        "stop": "./ws down",
        "home": f"{stack.path}   passwords in secrets/",
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    return Panel(table, title="Watershed runs", border_style="green", expand=False)
