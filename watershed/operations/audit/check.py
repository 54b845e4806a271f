"""One check of an audit: what it looked at, and its faults."""

from __future__ import annotations

from dataclasses import dataclass

from watershed.contracts.model import Contract

FAULTS_MAX = 20


@dataclass(frozen=True)
class AuditCheck:
    """One check of one contract; it holds when it found no faults."""

    contract: str
    check: str
    looked_at: str
    faults: list[str]

    @classmethod
    def of(cls, contract: Contract, name: str, looked_at: str, faults: list[str]) -> AuditCheck:
        """A check with its first faults, and how many more there are."""
        more = len(faults) - FAULTS_MAX
        shown = [*faults[:FAULTS_MAX], f"and {more:,} more"] if more > 0 else faults
        return cls(contract.type, name, looked_at, shown)

    @property
    def ok(self) -> bool:
        return not self.faults
