"""What keeps a stack from starting, and what does not."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.stack import PORT_OFFSET
from watershed.stack import checks, mariadb_programs
from watershed.stack.checks import BATCH_MEMORY_GB, GB, MEMORY_GB, problems
from watershed.stack.home import Home
from watershed.stack.processes import MARK

HELD_BYTES = 200 * 2**20
HOLD = f"x = b'x' * {HELD_BYTES}; print(flush=True); input()"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home on a machine that has a little less memory free than a stack needs."""
    free = SimpleNamespace(available=MEMORY_GB * GB - HELD_BYTES // 2)
    monkeypatch.setattr(checks.psutil, "virtual_memory", lambda: free)
    return Home.open(tmp_path, PORT_OFFSET - 1_000)  # beside the ports of the tests' stack


@pytest.fixture
def left_over(home: Home) -> Iterator[None]:
    """A process of the home's that its supervisor left behind, with some memory."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=os.environ | {MARK: str(home.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield
    process.communicate(b"\n")


def _about(what: str, home: Home, *, batch: bool = False) -> list[str]:
    return [problem for problem in problems(home, batch=batch) if what in problem]


def test_too_little_memory_is_said(home: Home) -> None:
    assert _about("memory", home) == [
        f"2.9 GB of memory are free; {MEMORY_GB} are needed: end something"
    ]


def test_the_batch_layer_needs_more_and_may_be_left_out(home: Home) -> None:
    [found] = _about("memory", home, batch=True)
    needed = MEMORY_GB + BATCH_MEMORY_GB
    assert found == (
        f"2.9 GB of memory are free; {needed} are needed: end something, or ./ws up --no-batch"
    )


def test_only_the_batch_layer_needs_its_ports(home: Home) -> None:
    with socket.create_server(("127.0.0.1", home.ports.airflow)):
        assert not _about("port ", home)
        [found] = _about("port ", home, batch=True)
    assert f"port {home.ports.airflow} (airflow) is used by" in found


def test_only_the_batch_layer_needs_mariadb_s_libraries(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = {"libc.so.6": "libc6", "libnonesuch.so.1": "libnonesuch1"}
    monkeypatch.setattr(mariadb_programs, "LIBRARIES", libraries)
    assert not _about("MariaDB", home)
    assert _about("MariaDB", home, batch=True) == [
        "MariaDB needs libnonesuch.so.1: install libnonesuch1, or ./ws up --no-batch"
    ]


def test_a_folder_that_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below a file; below a folder of somebody else's, which root has none of."""
    (tmp_path / "file").touch()
    home = Home.open(tmp_path / "file" / "home")
    said = "{} is no folder that you may write to: give --home another one"
    assert _about("folder", home) == [said.format(tmp_path / "file")]
    home = Home.open(tmp_path / "new" / "home")
    assert not _about("folder", home)
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    assert _about("folder", home) == [said.format(tmp_path)]


def test_looking_leaves_a_folder_as_it_is(tmp_path: Path) -> None:
    problems(Home.open(tmp_path))
    problems(Home.open(tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("left_over")
def test_memory_of_what_a_start_ends_counts_as_free(home: Home) -> None:
    assert _about("memory", home) == []


@pytest.mark.parametrize(
    ("closed", "cure"),
    [("cache/env", "chmod -R go+rX {}"), ("cache", "chmod -R go+rX {}"), ("", "WATERSHED_CACHE")],
)
def test_programs_that_the_databases_user_cannot_reach_are_said(
    closed: str, cure: str, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "server_user", lambda: pwd.getpwuid(os.getuid()))
    monkeypatch.setattr(checks, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(checks, "obstacle", lambda *_: None)
    assert not _about("PostgreSQL", home)
    monkeypatch.setattr(checks, "obstacle", lambda *_: tmp_path / closed)
    [found] = _about("PostgreSQL", home)
    assert f"cannot use {tmp_path / closed}: " in found
    assert cure.format(tmp_path / closed) in found
