"""``audit``: is anything lost, doubled or wrong?"""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import UTC, datetime

from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from watershed.cli.shared import (
    IMPOSSIBLE,
    AsJson,
    Deployment,
    Since,
    cannot,
    err,
    moment,
    out,
    settings_of,
)
from watershed.contracts.load import load_contracts
from watershed.operations.audit.audit import audit as run_audit
from watershed.operations.audit.check import AuditCheck
from watershed.operations.audit.snapshot import CommitSnapshot
from watershed.settings import Settings


def audit(
    home: Deployment = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Prove that nothing is lost, doubled or wrong: every store against the others.

    As of one commit, also while events flow. Exits with 0 only if every check holds, with 1 when
    one does not, with 2 when it cannot be run.
    """
    now = datetime.now(UTC)
    try:
        settings = settings_of(home)
        found = _audit(settings, moment(since, now), now)
    except IMPOSSIBLE as error:
        cannot("audit", error)
    checks = [check for _, checks in found.values() for check in checks]
    ok = all(check.ok for check in checks)
    if as_json:
        as_of = {
            name: {"sequence": taken.sequence, "offsets": taken.offsets}
            for name, (taken, _) in found.items()
        }
        listed = [dataclasses.asdict(check) | {"ok": check.ok} for check in checks]
        print(json.dumps({"ok": ok, "as_of": as_of, "checks": listed}, indent=2))
    else:
        _print_checks(checks)
    sys.exit(0 if ok else 1)


def _audit(
    settings: Settings, since: datetime | None, now: datetime
) -> dict[str, tuple[CommitSnapshot, list[AuditCheck]]]:
    """Every contract's audit, with its progress on a terminal."""
    found = {}
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        for name, contract in load_contracts(settings.schemas_dir, settings.topics).items():
            task = progress.add_task(name, total=None)

            def watch(done: int, total: int, task: TaskID = task) -> None:
                progress.update(task, completed=done, total=total)

            found[name] = run_audit(settings, contract, since, now, watch)
    return found


def _print_checks(checks: list[AuditCheck]) -> None:
    table = Table("contract", "check", "", "looked at", box=None, padding=(0, 2, 0, 0))
    for check in checks:
        table.add_row(
            check.contract,
            check.check,
            "[green]ok[/]" if check.ok else "[red]✗[/]",
            check.looked_at,
        )
    out.print(table)
    for check in checks:
        for fault in check.faults:
            out.print(f"[red]✗[/] {check.contract} {check.check}: {escape(fault)}", highlight=False)
