"""The command ``firn``: what a user does wrong, and what is wrong with Firn."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from include.commands import firn
from include.project.domains import with_part
from tests.conftest import free_port
from tests.firn_command import ROOT, command_of

ACCOUNT = {"FIRN_TARGET": "dev"}
"""An account without its name, user or password."""

WRONG = {
    "load moon": "There is no domain 'moon': use one of affiliate, forex, gaming, retail",
    "load forex moon": "Domain forex has no source 'moon'",
    "load gaming --from 2026-02-01 --to 2026-01-01": "is not before --to 2026-01-01",
    "reconcile moon": "There is no domain 'moon'",
    "rejected moon": "There is no domain 'moon'",
    "sources moon": "There is no domain 'moon'",
    "demo moon": "There is no pipeline moon: choose from tpch, forex",
    "backfill moon 2026-01-01 2026-02-01": "There is no domain 'moon': use one of affiliate",
    "backfill gaming 2026-02-01 2026-01-01": "is not before",
    "backfill gaming soon 2026-01-01": "soon",
    "new domain moon --from nowhere.yml": "nowhere.yml cannot be read",
    "new domain select --from README.md": "select is reserved",
    "new domain forex --from README.md": "Domain forex exists in include/domains",
    "ci rehearse --domain moon": "There is no domain moon: choose from",
    "ci build": "FIRN_TARGET is local, and pull requests are built on ci",
    "workbook": "Which workbook?",
    "sample moon": "No such command 'moon'",
    "moon": "No such command 'moon'",
    "setup --size moon": "",
    "warehouse start --moon": "No such option",
}
UNREACHABLE = ("sql select", "rejected forex", "setup")
NO_ACCOUNT = ("sql select", "load forex", "rollback", "up", "report", "monitoring build")


def run(line: str, **variables: str) -> tuple[int, str]:
    """The exit code of a command, and what it said on stderr, on one line."""
    done = CliRunner(env={"COLUMNS": "200", **variables}).invoke(firn.app, line.split())
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, " ".join(done.stderr.split())


@pytest.fixture(autouse=True)
def _home(clean_environment: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Neither a settings file nor a warehouse that runs."""
    clean_environment.setenv("FIRN_HOME", str(tmp_path))
    clean_environment.setenv("FIRN_LOCAL_PORT", str(free_port()))


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_argument_is_a_sentence_and_exit_code_2(line: str) -> None:
    code, said = run(line)
    assert (code, WRONG[line] in said) == (2, True), said
    assert "Traceback" not in said


@pytest.mark.parametrize("line", UNREACHABLE)
def test_without_a_warehouse_the_sentence_says_how_to_start_it(line: str) -> None:
    code, said = run(line)
    assert code == 2, said
    assert "firn warehouse start" in said


@pytest.mark.parametrize("line", NO_ACCOUNT)
def test_without_an_account_the_sentence_says_what_to_set(line: str) -> None:
    code, said = run(line, **ACCOUNT)
    assert code == 2, said
    assert "SNOWFLAKE_ACCOUNT" in said


def test_every_command_says_what_it_does() -> None:
    names = ROOT.list_commands(None)
    assert {"demo", "load", "sql", "deploy"} <= set(names)
    for name in names:
        found, rest = command_of([name])
        assert rest == []
        assert found.help, name
        for below in getattr(found, "commands", {}).values():
            assert below.help, f"{name} {below.name}"
    assert set(command_of(["sample"])[0].commands) == set(with_part("sample"))


def test_a_defect_is_shown_with_its_trace_and_has_an_exit_code_of_its_own() -> None:
    program = (
        "import include.commands.firn as firn, include.commands.loading as loading\n"
        "def broken(*_): raise KeyError('lost')\n"
        "loading.load_domain = broken\n"
        "firn.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "sources", "forex"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == firn.DEFECT
    assert "KeyError: 'lost'" in done.stderr
    assert done.stderr.rstrip().endswith("please report it with the lines above.")
