"""The doctor says what is configured, from where, what is missing and what to set."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakesnow
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from rich.console import Console

from include.commands import doctor as module
from include.warehouse.connection import WarehouseUnreachableError, connect

ACCOUNT = {
    "FIRN_TARGET": "dev",
    "SNOWFLAKE_ACCOUNT": "myorg-myaccount",
    "SNOWFLAKE_USER": "ada",
    "SNOWFLAKE_WAREHOUSE": "transforming",
    # A name that is never looked up: nothing here may leave the machine.
    "SNOWFLAKE_HOST": "127.0.0.1",
}


@pytest.fixture(autouse=True)
def environment(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        clean_environment.setenv("FIRN_LOCAL_PORT", str(listener.getsockname()[1]))
    clean_environment.setenv("FIRN_HOME", str(tmp_path / "home"))
    return clean_environment


def examine() -> tuple[int, str]:
    output = io.StringIO()
    code = module.doctor(Console(file=output, width=200))
    return code, output.getvalue()


def test_a_fresh_machine_is_fine_and_told_how_to_start() -> None:
    code, text = examine()
    assert code == 0
    assert "database ANALYTICS_DEV" in text
    assert "The local warehouse is not running on 127.0.0.1:" in text
    assert "firn warehouse start" in text


def test_it_says_where_a_value_comes_from(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "firn.env"
    file.write_text("FIRN_USER=ada\nFIRN_DBT_THREADS=2\n")
    environment.setenv("FIRN_ENV_FILE", str(file))
    environment.setenv("FIRN_DBT_THREADS", "3")
    _, text = examine()
    rows = {
        cells[0]: cells[1:]
        for line in text.splitlines()
        if line.startswith("│") and (cells := [cell.strip() for cell in line.strip("│").split("│")])
    }
    assert rows["FIRN_USER"] == ["ada", "firn.env"]
    assert rows["FIRN_DBT_THREADS"] == ["3", "environment"]
    assert rows["FIRN_TARGET"] == ["local", "default"]
    assert rows["SNOWFLAKE_ACCOUNT"] == ["not set", ""]


def test_everything_missing_is_named_and_the_code_is_2(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FIRN_TARGET", "dev")
    code, text = examine()
    assert code == 2
    for name in ("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_WAREHOUSE"):
        assert f"missing  {name} is not set" in text
    assert "missing  There is nothing to log in with" in text


def test_secrets_are_set_or_not_set_and_nothing_else(environment: pytest.MonkeyPatch) -> None:
    for name, value in (ACCOUNT | {"SNOWFLAKE_PASSWORD": "hush"}).items():
        environment.setenv(name, value)
    environment.setenv("FIRN_LOCAL_PORT", "x")  # the error path must not show it either
    code, text = examine()
    assert code == 2
    assert "hush" not in text
    (password,) = [line for line in text.splitlines() if "SNOWFLAKE_PASSWORD " in line]
    assert [cell.strip() for cell in password.strip("│").split("│")][1:] == ["set", "environment"]


def test_a_password_within_a_value_is_hidden(environment: pytest.MonkeyPatch) -> None:
    url = "postgresql+psycopg://reader:made-up-word@127.0.0.1:5432/game"
    environment.setenv("FIRN_GAMING_DATABASE_URL", url)
    environment.setenv("FIRN_OPENLINEAGE_API_KEY", "made-up-key")
    _, text = examine()
    assert "reader:***@127.0.0.1" in text
    assert "made-up" not in text


def test_the_role_that_writes_raw_is_tried_too(environment: pytest.MonkeyPatch) -> None:
    for name, value in (ACCOUNT | {"SNOWFLAKE_PASSWORD": "hush"}).items():
        environment.setenv(name, value)
    with fakesnow.patch():
        assert "What writes RAW" not in examine()[1]
        environment.setenv("SNOWFLAKE_LOADER_ROLE", "loader")
        code, text = examine()
        assert code == 0
        assert "What writes RAW connects as " in text

        def refused(*arguments: Any, as_loader: bool = False, **more: Any) -> Any:
            if as_loader:
                raise WarehouseUnreachableError("Role 'LOADER' is not granted to this user.")
            return connect(*arguments, **more)

        environment.setattr(module, "connect", refused)
        code, text = examine()
    assert code == 2
    assert "What writes RAW cannot connect: Role 'LOADER' is not granted to this user." in text


def test_the_switch_of_monitoring_is_told(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FIRN_ELEMENTARY", "off")
    code, text = examine()
    assert code == 0
    assert "Monitoring is off: FIRN_ELEMENTARY is off" in text
    environment.setenv("FIRN_DBT_PACKAGES_DIR", "/nowhere")
    environment.setenv("FIRN_ELEMENTARY", "on")
    code, text = examine()
    assert code == 2
    assert "/nowhere does not hold elementary and dbt_utils" in text


def test_a_misspelt_variable_is_pointed_out(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SNOWFLAKE_PASWORD", "hush")
    code, text = examine()
    assert code == 0
    assert (
        "SNOWFLAKE_PASWORD is set in the environment and means nothing here: did you mean "
        "SNOWFLAKE_PASSWORD?" in text
    )
    assert "hush" not in text


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_a_key_that_does_not_open_is_found_before_anybody_connects(
    environment: pytest.MonkeyPatch, tmp_path: Path, passphrase: str | None
) -> None:
    key = tmp_path / "key.p8"
    key.write_bytes(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"right"),
        )
    )
    variables = ACCOUNT | {"SNOWFLAKE_PRIVATE_KEY_PATH": str(key)}
    if passphrase:
        variables["SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"] = passphrase
    for name, value in variables.items():
        environment.setenv(name, value)
    code, text = examine()
    assert code == 2
    assert f"missing  The private key {key} does not open" in text
    assert "note  The warehouse was not asked" in text


@pytest.mark.parametrize(
    ("free", "word", "code"), [(0.5, "missing", 2), (3, "note", 0), (50, "ok", 0)]
)
def test_disk_space_is_judged(
    environment: pytest.MonkeyPatch, free: float, word: str, code: int
) -> None:
    environment.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=int(free * 1024**3)))
    found, text = examine()
    assert found == code
    assert f"{word}  {free:.1f} GiB free for " in text


def test_packages_that_differ_from_the_lock_are_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("duckdb==0.0.1 \\\n    --hash=sha256:00\n")
    output = io.StringIO()
    report = module._Report(Console(file=output, width=400))
    module._check_packages(report, lock)
    assert report.failed
    assert "duckdb is " in output.getvalue()
    assert "locked is 0.0.1" in output.getvalue()


def test_another_python_is_said(environment: pytest.MonkeyPatch) -> None:
    environment.setattr("sys.version_info", (3, 12, 1, "final", 0))
    code, text = examine()
    assert code == 2
    assert "missing  Python is 3.12.1, and the locked packages need 3.11: run make again." in text


def test_what_answers_but_is_no_warehouse_is_reported(environment: pytest.MonkeyPatch) -> None:
    with listening() as port:
        environment.setenv("FIRN_LOCAL_PORT", str(port))
        environment.setenv("FIRN_LOCAL_PASSWORD", "made-up-password")
        code, text = examine()
    assert code == 2
    assert "made-up-password" not in text
    assert f"What answers on 127.0.0.1:{port} is not a working local warehouse" in text
    assert "firn warehouse status" in text


@contextmanager
def listening() -> Iterator[int]:
    """A web server that knows nothing of Snowflake."""

    class Silent(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
