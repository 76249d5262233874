"""All settings: declared once, read in one way, checked together, and what is made from them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from include.airflow.environment import airflow_environment
from include.commands import firn
from include.commands.settings import example, page
from include.commands.warehouse import local_warehouse
from include.core.settings import (
    REGISTRY,
    REPOSITORY,
    SECRETS,
    ConfigurationError,
    Logs,
    Retention,
    is_known,
    problems,
)
from include.delivery.account.declaration import declare
from include.project.environment import dbt_environment
from include.project.manifest import manifest_path
from include.project.paths import dbt_project, firn_home, target
from include.warehouse.connection import ConnectionSettings, get_settings


@pytest.fixture
def environment(clean_environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    # What dbt is given must not depend on packages that happen to be here.
    clean_environment.setenv("FIRN_ELEMENTARY", "off")
    return clean_environment


def write(environment: pytest.MonkeyPatch, folder: Path, text: str) -> Path:
    """The settings file."""
    file = folder / "settings.env"
    file.write_text(text)
    environment.setenv("FIRN_ENV_FILE", str(file))
    return file


def firn_says(*arguments: str) -> tuple[int, str]:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(firn.app, arguments)
    return done.exit_code, done.stdout + done.stderr


# -- read in one way -------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["environment", "file"])
def test_loader_dbt_and_airflow_read_the_same(
    environment: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    given = {
        "FIRN_TARGET": " PROD",
        "SNOWFLAKE_ACCOUNT": "local",
        "FIRN_HOME": str(home),
        "DBT_PROJECT_DIR": str(project),
        "FIRN_KEEP_REJECTED_ROWS_DAYS": "90",
    }
    if where == "environment":
        for name, value in given.items():
            environment.setenv(name, value)
    else:
        write(environment, tmp_path, "".join(f'{name}="{one}"\n' for name, one in given.items()))
    # What loads, what parses DAGs in this process, and what is handed to dbt and to Airflow.
    settings = get_settings()
    assert (settings.target, settings.home) == ("prod", home)
    assert (target(), firn_home(), dbt_project()) == ("prod", home, project)
    assert manifest_path() == home / "airflow" / "manifest" / "manifest.json"
    for variables in (dbt_environment(), airflow_environment()):
        wanted = given | {"FIRN_TARGET": "prod"}
        assert {name: variables[name] for name in given} == wanted
        assert (target(variables), firn_home(variables)) == ("prod", home)


def test_a_home_is_the_same_folder_for_all(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.chdir(tmp_path)
    environment.setenv("FIRN_HOME", "data")
    assert firn_home() == get_settings().home == REPOSITORY / "data"
    assert dbt_environment()["FIRN_HOME"] == str(REPOSITORY / "data")


def test_the_local_warehouse_gets_what_the_file_says(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(environment, tmp_path, "FIRN_LOCAL_IDLE_TRANSACTION_SECONDS=5\n")
    assert local_warehouse().environment["FIRN_LOCAL_IDLE_TRANSACTION_SECONDS"] == "5.0"


def test_a_file_that_changes_is_read_again(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(environment, tmp_path, "FIRN_TARGET=local\n")
    assert Retention().firn_keep_runs_days == 400
    write(environment, tmp_path, "FIRN_KEEP_RUNS_DAYS=30\n")
    assert Retention().firn_keep_runs_days == 30


def test_settings_are_light() -> None:
    program = (
        "import sys, include.core.logs, include.project.paths; include.project.paths.target();"
        "print([one for one in ('snowflake', 'airflow', 'polars', 'sqlalchemy')"
        " if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# -- checked together ------------------------------------------------------------------------------


def test_all_that_is_broken_is_told_with_its_place(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = write(
        environment,
        tmp_path,
        "FIRN_KEEP_LOADS_DAYS=6\nFIRN_AIRFLOW_URL=http://ada:made-up@airflow.example.com\n"
        "FIRN_AIRFLOW_PORT=8080\nFIRN_ELEMENTRY=on\nFIRN_SOMETHING_QUITE_ELSE=1\n",
    )
    environment.setenv("FIRN_AIRFLOW_PORT", "http")
    environment.setenv("FIRN_LOG_FORMAT", "json")
    environment.setenv("FIRN_HOME", str(tmp_path))
    found = [
        "FIRN_AIRFLOW_PORT is 'http' in the environment: set it to a port number from 1 to 65535.",
        f"FIRN_KEEP_LOADS_DAYS is '6' in {file}: set it to a whole number of days from 7 to 36500.",
        f"FIRN_AIRFLOW_URL cannot be used in {file}: set it to the address of Airflow's page, such "
        "as https://airflow.example.com; with https unless it is on this machine, and without a "
        "user.",
    ]
    assert problems() == found
    code, text = firn_says("doctor")
    assert code == 2
    for sentence in found:
        assert text.count(f"missing  {sentence}\n") == 1, sentence
    unread = f"is set in {file} and means nothing here"
    assert f"FIRN_ELEMENTRY {unread}: did you mean FIRN_ELEMENTARY?" in text
    assert f"FIRN_SOMETHING_QUITE_ELSE {unread}: remove it" in text
    assert "made-up" not in text
    # The commands that use them, and no other.
    assert firn_says("airflow", "version") == (2, f"{found[0]}\n")
    assert firn_says("retention", "--dry-run") == (2, f"{found[1]}\n")
    assert firn_says("sources", "forex")[0] == 0


def test_a_value_in_the_wrong_line_shows_no_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SNOWFLAKE_PASSWORD", "made-up-word")
    environment.setenv("FIRN_LOG_FORMAT", "is-made-up-word")
    with pytest.raises(ConfigurationError) as caught:
        Logs()
    assert caught.value.problems == [
        "FIRN_LOG_FORMAT is 'is-***' in the environment: set it to text or json."
    ]
    environment.setenv("FIRN_LOG_FORMAT", "text")
    environment.setenv("SNOWFLAKE_AUTHENTICATOR", "made-up-word")
    assert "made-up-word" not in firn_says("doctor")[1]


def test_a_folder_of_nobody_is_a_sentence(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FIRN_HOME", "~nobody-of-this-name/firn")
    with pytest.raises(ConfigurationError, match="FIRN_HOME is '~nobody-of-this-name/firn' in"):
        ConnectionSettings()


def test_a_file_that_is_no_text_ends_a_command_with_a_sentence(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.env"
    file.write_bytes(b"FIRN_USER=\xff")
    environment.setenv("FIRN_ENV_FILE", str(file))
    done = subprocess.run(
        [sys.executable, "-m", "include.commands", "doctor"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"{file} cannot be read (UnicodeDecodeError): save it as UTF-8 text.\n"
    assert (done.returncode, done.stderr) == (2, said)


# -- made from them --------------------------------------------------------------------------------


def test_the_example_and_the_page_are_made_from_the_settings() -> None:
    for made, file in ((example(), ".env.example"), (page(), "docs/settings.md")):
        assert (REPOSITORY / file).read_text(encoding="utf-8") == made, "see firn settings --help"


def test_the_example_can_be_filled_in(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not [line for line in example().splitlines() if line and not line.startswith("#")]
    filled = re.sub(r"(?m)^# ([A-Z_]+=)", r"\1", example())
    assert filled.count("\nFIRN_") + filled.count("\nSNOWFLAKE_") > 40
    write(environment, tmp_path, filled)
    assert problems() == []
    assert get_settings().firn_user == "ada"


def test_the_command_shows_where_a_value_comes_from_and_no_secret(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(environment, tmp_path, "FIRN_USER=ada\nSNOWFLAKE_PASSWORD=made-up-word\n")
    environment.setenv("FIRN_DBT_THREADS", "3")
    environment.setenv("FIRN_AIRFLOW_USER", "has made-up-word in it")
    code, text = firn_says("settings")
    rows = {
        cells[0]: cells[1:]
        for line in text.splitlines()
        if line.startswith("│") and (cells := [cell.strip() for cell in line.strip("│").split("│")])
    }
    assert code == 0
    assert set(rows) == set(REGISTRY)
    assert rows["FIRN_USER"] == ["ada", "settings.env"]
    assert rows["FIRN_DBT_THREADS"] == ["3", "environment"]
    assert rows["FIRN_TARGET"] == ["local", "default"]
    assert rows["SNOWFLAKE_PASSWORD"] == ["set", "settings.env"]
    assert rows["FIRN_AIRFLOW_USER"][0] == "has *** in it"
    assert "made-up" not in text
    assert firn_says("settings", "--example") == (0, example())
    assert firn_says("settings", "--page") == (0, page())


def test_every_variable_that_the_code_names_is_declared() -> None:
    files = [
        file
        for folder in ("include", "dags", "plugins", "dbt")
        for file in (REPOSITORY / folder).rglob("*")
        if file.suffix in {".py", ".sql", ".yml"} and "dbt_packages" not in file.parts
    ]
    named = {
        name
        for file in files
        for name in re.findall(
            r"""["'](FIRN_[A-Z_]*[A-Z])["']""",
            file.read_text(encoding="utf-8"),
        )
    }
    account = declare()
    assert {"FIRN_HOME", "FIRN_ELEMENTARY", "FIRN_HEADLESS"} <= named
    assert {name for name in named if not is_known(name)} <= {
        *account.roles,
        *(user.name for user in account.users),
    }
    assert {"SNOWFLAKE_PASSWORD", "AIRFLOW_CONN_SLACK_ALERTS"} <= SECRETS
