"""What becomes of an audit: it holds, it does not, or none was made."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.dags import PROGRAMS, printed

JUDGE = PROGRAMS / "judge_audit.py"


def output(*, ok: bool) -> str:
    check = {"contract": "tweet", "check": "flow", "ok": ok, "faults": ["a sum"]}
    return json.dumps({"ok": ok, "checks": [check]}, indent=2)


def test_only_what_an_audit_says_fails_for_good(tmp_path: Path) -> None:
    lines = "".join(f"line {number}\n" for number in range(9))
    cases = tmp_path / "cases.json"
    cases.write_text(
        json.dumps([(0, output(ok=True)), (1, output(ok=False)), (1, lines), (1, "[]"), (2, "")])
    )
    held, not_held, lost, strange, away = printed(tmp_path, JUDGE, cases)
    assert held == ["", '{"ok": true}']
    assert not_held[0] == "AirflowFailException"
    assert "tweet flow: a sum" in not_held[1]
    none_made = "the audit could not be made: exit code {}; its log is above"
    assert lost == ["RuntimeError", none_made.format(1) + "".join(
        f"\n  line {number}" for number in range(4, 9)
    )]  # fmt: skip
    assert strange == ["RuntimeError", none_made.format(1) + "\n  []"]
    assert away == ["RuntimeError", none_made.format(2)]
