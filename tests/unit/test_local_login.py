"""The password and the key of the local warehouse: made once, readable by their owner alone."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from include.core.logs import secrets
from include.local_warehouse.login import LocalLogin, LocalLoginError
from include.warehouse.connection import ConnectionSettings

KIND = "PRIVATE KEY"


def test_many_that_start_at_once_have_one_password_and_one_key(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def start(_: int) -> tuple[str, bytes]:
        login = LocalLogin(home)
        login.make()
        return login.password(), login.key_file.read_bytes()

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(start, range(8)))
    assert len(found) == 1
    assert sorted(file.name for file in home.iterdir()) == ["local_key.p8", "local_password"]
    assert {file.stat().st_mode & 0o777 for file in home.iterdir()} == {0o600}


def test_another_home_has_another_password(tmp_path: Path) -> None:
    logins = [LocalLogin(tmp_path / name) for name in "ab"]
    for login in logins:
        login.make()
    assert logins[0].password() != logins[1].password()
    assert logins[0].key().private_numbers() != logins[1].key().private_numbers()


def test_files_that_others_may_read_are_closed_to_them_at_the_next_start(tmp_path: Path) -> None:
    login = LocalLogin(tmp_path)
    login.make()
    password = login.password()
    login.password_file.chmod(0o644)
    login.make()
    assert login.password_file.stat().st_mode & 0o777 == 0o600
    assert login.password() == password


def test_what_is_missing_or_damaged_is_said_in_a_sentence(tmp_path: Path) -> None:
    login = LocalLogin(tmp_path)
    with pytest.raises(LocalLoginError, match="start it with `firn warehouse start`"):
        login.password()
    # A warehouse that an older version started may be running; it has made no password.
    with pytest.raises(LocalLoginError, match="if it runs already, stop it first"):
        login.password()
    login.password_file.write_text("\n")
    with pytest.raises(LocalLoginError, match=r"local_password is empty: remove it, stop the loc"):
        login.password()
    login.password_file.write_bytes(b"\xff")
    with pytest.raises(LocalLoginError, match=r"cannot be read \(UnicodeDecodeError\): make it"):
        login.password()
    with pytest.raises(LocalLoginError, match="remove it, and start the local warehouse again"):
        login.key()
    login.key_file.write_text("".join(f"-----{side} {KIND}-----\n" for side in ("BEGIN", "END")))
    with pytest.raises(LocalLoginError, match="holds no private key"):
        login.key()
    (tmp_path / "file").touch()
    with pytest.raises(LocalLoginError, match="set FIRN_HOME to a folder of your own"):
        LocalLogin(tmp_path / "file" / "home").make()


def test_a_disk_without_hard_links_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(LocalLoginError, match=r"has no hard links.*on a local disk"):
        LocalLogin(tmp_path).make()
    assert list(tmp_path.iterdir()) == []


def test_a_password_that_is_set_goes_before_the_one_that_was_made(tmp_path: Path) -> None:
    LocalLogin(tmp_path).make()
    given = "of the setting"
    settings = ConnectionSettings(firn_home=tmp_path, firn_local_password=given)
    assert settings.connector_arguments()["password"] == given
    assert settings.environment()["FIRN_LOCAL_PASSWORD"] == given
    # A password from the file is passed in no environment; each program reads the file.
    made = ConnectionSettings(firn_home=tmp_path)
    assert "FIRN_LOCAL_PASSWORD" not in made.environment()
    assert made.local_login.password() not in made.environment().values()
    for shown in (repr(settings), str(settings), repr(settings.local_login)):
        assert given not in shown


def test_no_log_shows_it(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    login = LocalLogin(tmp_path)
    login.make()
    clean_environment.setenv("FIRN_HOME", str(tmp_path))
    clean_environment.setenv("FIRN_LOCAL_PASSWORD", "made-up-password")
    assert {login.password(), "made-up-password"} <= set(secrets())
