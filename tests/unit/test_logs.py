"""Events as a program reads them, and what must not stand in a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from include.core import logs
from include.core.logs import configure, event, secrets
from include.core.settings import REPOSITORY, ConfigurationError


@pytest.fixture
def unconfigured(clean_environment: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    structlog.reset_defaults()
    yield clean_environment
    structlog.reset_defaults()


def test_an_event_is_one_line_that_a_program_can_cut(
    unconfigured: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    event("load.file", domain="sales", file="a b.csv", rows=3, reason=None, columns=["x", "y"])
    event("load.file", level="warning", reason='line 1:\n"x=1"', empty="")
    first, second = capsys.readouterr().err.splitlines()
    assert first.split(" ", 1)[1] == (
        'info load.file domain=sales file="a b.csv" rows=3 columns=x,y'
    )
    assert second.split(" ", 1)[1] == ('warning load.file reason="line 1:\\n\\"x=1\\"" empty=""')


def test_an_event_is_a_line_of_json_where_that_is_asked_for(
    unconfigured: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unconfigured.setenv("FIRN_LOG_FORMAT", " JSON ")
    event("export.table", level="error", rows=3, folder=Path("/exports"))
    (line,) = capsys.readouterr().err.splitlines()
    assert list(json.loads(line)) == ["timestamp", "level", "event", "rows", "folder"]
    assert json.loads(line)["folder"] == "/exports"
    assert json.loads(line)["rows"] == 3


def test_an_event_says_which_task_it_is_of(
    unconfigured: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unconfigured.setenv("AIRFLOW_CTX_DAG_ID", "sales__orders__1h")
    unconfigured.setenv("AIRFLOW_CTX_DAG_RUN_ID", "manual__1")
    unconfigured.setenv("AIRFLOW_CTX_TASK_ID", "load")
    event("load.file")
    event("alert.sent", dag_id="another")
    with structlog.contextvars.bound_contextvars(dag_id="bound", run_id="r", task_id="t"):
        event("load.file")
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.endswith("load.file dag_id=sales__orders__1h run_id=manual__1 task_id=load")
    assert " dag_id=another run_id" in second
    assert "dag_id=bound" in third
    assert "sales__orders__1h" not in third


def test_another_form_is_refused(unconfigured: pytest.MonkeyPatch) -> None:
    unconfigured.setenv("FIRN_LOG_FORMAT", "xml")
    with pytest.raises(ConfigurationError, match=r"FIRN_LOG_FORMAT is 'xml' in .*: set it to text"):
        configure()


KEY = "-----BEGIN PRIVATE KEY-----\nMIIEmadeupmadeup\nlineTwoOfTheKey\n-----END PRIVATE KEY-----\n"


def test_every_secret_of_the_settings_is_known(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key.p8").write_text(KEY)
    (tmp_path / ".env").write_text("SNOWFLAKE_PASSWORD=of-the-file\nFIRN_USER=not-secret\n")
    for name, value in {
        "FIRN_ENV_FILE": str(tmp_path / ".env"),
        "SNOWFLAKE_PASSWORD": "of 'the' variable",
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": "made-up-passphrase",
        "SNOWFLAKE_PRIVATE_KEY_PATH": str(tmp_path / "key.p8"),
        "SNOWFLAKE_USER": "not-secret",
        "FIRN_GAMING_DATABASE_URL": "postgresql+psycopg://player:p%40ssw0rd@db.example/game",
        "FIRN_SALES_DATABASE_URL": "sqlite:////not-secret.db",
        "AIRFLOW_CONN_SLACK_ALERTS": json.dumps(
            {"conn_type": "slackwebhook", "password": "https://hooks.example/services/T0/B0/xyz12"}
        ),
        "AIRFLOW_CONN_OTHER": "http://somebody:of-a-url@host",
    }.items():
        clean_environment.setenv(name, value)
    found = secrets()
    for secret in (
        "of-the-file",
        "of 'the' variable",
        "of%20%27the%27%20variable",
        "made-up-passphrase",
        KEY.strip(),
        "MIIEmadeupmadeup",
        "lineTwoOfTheKey",
        "p%40ssw0rd",
        "p@ssw0rd",
        "https://hooks.example/services/T0/B0/xyz12",
        "T0/B0/xyz12",
        "of-a-url",
    ):
        assert secret in found, secret
    assert not [secret for secret in found if "not-secret" in secret]
    # A key stays in its file: it is given to no program as a variable.
    assert not {KEY.strip(), "MIIEmadeupmadeup", "lineTwoOfTheKey"} & set(secrets(keys=False))
    assert "made-up-passphrase" in secrets(keys=False)
    assert [len(one) for one in found] == sorted(map(len, found), reverse=True)


def test_a_short_secret_does_not_hide_half_of_a_line(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean_environment.setenv("FIRN_HOME", str(tmp_path))
    clean_environment.setenv("SNOWFLAKE_PASSWORD", "info")
    assert secrets() == []


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_command_that_fails_shows_no_secret(tmp_path: Path) -> None:
    key = tmp_path / "key.p8"
    key.write_text("no key")
    said = _run(
        *("-m", "include.commands", "rejected", "forex"),
        FIRN_TARGET="dev",
        SNOWFLAKE_ACCOUNT="made-up",
        SNOWFLAKE_WAREHOUSE="made_up",
        SNOWFLAKE_PRIVATE_KEY_PATH=str(key),
        SNOWFLAKE_PRIVATE_KEY_PASSPHRASE="made-up-passphrase",
        # As if somebody had put it into the wrong line.
        SNOWFLAKE_USER="made-up-passphrase",
    )
    assert said.returncode == 2, said.stderr
    assert "refused user *** (" in said.stderr
    assert "made-up-passphrase" not in said.stderr + said.stdout


def test_no_traceback_and_no_event_of_a_command_shows_a_secret() -> None:
    said = _run(
        "-c",
        "import os, typer\n"
        "from include.core.logs import event, start_command\n"
        "def main():\n"
        "    event('load.file', reason='with made-up-password')\n"
        "    raise RuntimeError(os.environ['SNOWFLAKE_PASSWORD'] + ' does not fit')\n"
        "start_command()\n"
        "typer.run(main)\n",
        SNOWFLAKE_PASSWORD="made-up-password",
    )
    assert said.returncode == 1
    assert 'load.file reason="with ***"' in said.stderr
    assert "RuntimeError: *** does not fit" in said.stderr
    assert "made-up-password" not in said.stderr + said.stdout


def test_a_command_says_in_one_sentence_that_the_form_is_wrong() -> None:
    said = _run("-m", "include.commands", "sources", FIRN_LOG_FORMAT="xml")
    assert said.returncode == 2
    assert said.stderr == "FIRN_LOG_FORMAT is 'xml' in the environment: set it to text or json.\n"


def test_what_is_hidden_is_still_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    stream = logs._Hiding(sys.stderr, ["made-up"])
    stream.writelines(["a made-up ", "line\n"])
    stream.flush()
    assert stream.isatty() is False
    assert capsys.readouterr().err == "a *** line\n"
