"""A stack's folder: what belongs to it, and how a file in it is written."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from watershed.errors import StackError
from watershed.stack.home import BATCH_INTERVAL_S, SECRETS, Home, write_private
from watershed.stack.server_user import server_user


def test_a_link_that_somebody_planted_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    for name in ("conf", "conf.part"):
        (tmp_path / name).symlink_to(victim)
    write_private(tmp_path / "conf", "ours")
    assert victim.read_text() == "theirs"
    assert not (tmp_path / "conf").is_symlink()
    assert (tmp_path / "conf").read_text() == "ours"
    assert (tmp_path / "conf").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_writer_left_is_in_nobody_s_way(tmp_path: Path) -> None:
    (tmp_path / "stack.json.part").write_text("{")
    home = Home.open(tmp_path)
    assert home.foreign() == []
    assert home.entries() == [tmp_path / "stack.json.part"]
    home.prepare()
    assert home.exists
    assert not (tmp_path / "stack.json.part").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_for_the_server_s_user_is_theirs_alone(tmp_path: Path) -> None:
    user = server_user()
    assert user is not None
    write_private(tmp_path / "conf", "", user)
    found = (tmp_path / "conf").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (user.pw_uid, 0o600)


def test_a_home_of_another_user_s_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    Home.open(tmp_path).prepare()
    monkeypatch.setattr(Path, "read_text", refuse)  # root may read anybody's
    with pytest.raises(StackError, match=rf"{tmp_path} is another user's\n.*--home"):
        Home.open(tmp_path)


def test_secrets_are_what_their_readers_want(tmp_path: Path) -> None:
    """MariaDB and URLs take them without quoting; Fernet and JWT have lengths."""
    home = Home.open(tmp_path)
    home.prepare()
    Fernet(home.secret("airflow_fernet_key"))
    assert len(home.secret("airflow_jwt_secret")) >= 64
    passwords = [home.secret(name) for name in SECRETS if name.endswith("password")]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", password) for password in passwords)


def test_what_was_exported_for_the_start_stands_for_later_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.open(tmp_path)
    with monkeypatch.context() as exported:
        exported.setenv("WATERSHED_BATCH_INTERVAL_S", "600")
        exported.setenv("WATERSHED_TOPICS", '{"transaction": "other topic"}')
        exported.setenv("WATERSHED_PARENT_PID", "1")
        home.prepare()
    found = home.settings()
    assert (found.batch_interval_s, found.topics) == (600, {"transaction": "other topic"})
    assert found.parent_pid == 0
    home.prepare()
    assert (home.settings().batch_interval_s, home.settings().topics) == (BATCH_INTERVAL_S, {})
