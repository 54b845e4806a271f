"""``test``, ``check``, ``fix``, ``lock``: for those who change Watershed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from watershed.cli.shared import say
from watershed.stack import jars
from watershed.stack.home import ROOT
from watershed.stack.java import java_home

BIN = Path(sys.executable).parent
CHECKS = {
    "lint": ["ruff", "check", "--quiet", "."],
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "types": ["mypy"],
    "imports": ["lint-imports", "--no-cache"],
    "packages": ["deptry", "."],
}
TIERS = ["tests/unit", "tests/live", "tests/faults", "tests/batch"]
WORKERS = ["--numprocesses=2", "--no-loadscope-reorder", "--max-worker-restart=0"]
"""tests/support/parts.py says which takes what."""
SOAK = ["tests/faults/soak.py", "--capture=no"]
CONSTRAINED = "--constraints=bootstrap.txt", "--constraints=main.txt"
PINS = {
    "bootstrap": (),
    "main": CONSTRAINED[:1],
    "airflow": (*CONSTRAINED, "--excludes=airflow-excluded.in"),
}
"""What is resolved, and how: a package that two environments have is of the same version."""


def test(
    context: typer.Context,
    faults: Annotated[
        bool, typer.Option("--faults", help="Only faults, at random moments, until --kills.")
    ] = False,
    kills: Annotated[int, typer.Option(min=1, help="How many, with --faults.")] = 50,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Repeats the chance of the run that printed it.")
    ] = None,
) -> None:
    """Everything a change must pass: checks, then all tests, in two processes with real servers.

    More arguments go to pytest: ./ws test tests/unit -k contract (the checks are then left out).
    """
    chosen = [*SOAK, f"--kills={kills}", *context.args] if faults else context.args
    if not chosen:
        check()
    again = [] if seed is None else [f"--seed={seed}"]
    _exit_with(_run([sys.executable, "-m", "pytest", *(chosen or [*TIERS, *WORKERS]), *again]))


def check() -> None:
    """Lint, format, types, import rules and declared packages; changes nothing."""
    failed = [name for name, command in CHECKS.items() if not _passes(name, command)]
    if failed:
        say(f"[red]✗[/] {', '.join(failed)}; ./ws fix mends lint and format")
        sys.exit(1)


def fix() -> None:
    """Mend what lint and format can mend by themselves."""
    _run([str(BIN / "ruff"), "check", "--fix", "--quiet", "."])
    _exit_with(_run([str(BIN / "ruff"), "format", "--quiet", "."]))


def lock() -> None:
    """Resolve every pinned version anew: Python packages with hashes, jars with checksums."""
    locks = ROOT / "infra" / "locks"
    for name, options in PINS.items():
        say(f"resolving {name}.in")
        command = [str(BIN / "uv"), "pip", "compile", "--quiet", "--python-version", "3.11",
                   "--generate-hashes", "--no-header", "--no-annotate", "--upgrade",
                   *options, f"{name}.in", "-o", f"{name}.txt"]  # fmt: skip
        subprocess.run(command, cwd=locks, check=True)
    say("resolving jars.in (some minutes)")
    jars.LOCK.write_text(jars.lock())


def _passes(name: str, command: list[str]) -> bool:
    done = _run([str(BIN / command[0]), *command[1:]])
    say(f"[{'green' if done == 0 else 'red'}]{'✓' if done == 0 else '✗'}[/] {name}")
    return done == 0


def _run(command: list[str]) -> int:
    """Run a tool, with the Java and the usual PATH that Spark's scripts need."""
    environment = os.environ | {
        "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", ""), os.defpath]),
        "JAVA_HOME": str(java_home()),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


def _exit_with(code: int) -> None:
    sys.exit(code)
