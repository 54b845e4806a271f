"""A Cassandra table as this project declares one."""

from __future__ import annotations

from dataclasses import dataclass

WINDOWS_PER_TTL = 30  # a table then has about that many SSTables to drop, one per window


@dataclass(frozen=True)
class Table:
    """Columns by name with their CQL types, the key, and how long rows live by default."""

    name: str
    columns: dict[str, str]
    key: str
    ttl_days: int
    order: str = ""

    def create(self) -> str:
        """The statement that makes the table; rows of one time window expire together (TWCS)."""
        columns = ", ".join(f"{name} {cql_type}" for name, cql_type in self.columns.items())
        order = f"CLUSTERING ORDER BY ({self.order}) AND " if self.order else ""
        compaction = {
            "class": "TimeWindowCompactionStrategy",
            "compaction_window_unit": "DAYS",
            "compaction_window_size": str(max(1, self.ttl_days // WINDOWS_PER_TTL)),
        }
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}, PRIMARY KEY {self.key})"
            f" WITH {order}compaction = {compaction}"
            f" AND default_time_to_live = {self.ttl_days * 86_400}"
        )
