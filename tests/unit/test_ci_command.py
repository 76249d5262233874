"""The commands of pull requests: what they refuse, and what they hand to a workflow."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunnerResult
from typer.testing import CliRunner

from include.commands import ci as command
from include.commands.firn import app
from include.delivery.pull_requests.rehearsal import rehearsal_settings
from include.delivery.pull_requests.text import MARKER
from include.project.builds import run_nodes
from include.project.dbt import Dbt, DbtError
from include.project.environment import environment_without_monitoring
from include.warehouse.connection import ConnectionSettings

ACCOUNT = {
    "FIRN_TARGET": "prod",
    "SNOWFLAKE_ACCOUNT": "myorg-myaccount",
    "SNOWFLAKE_USER": "ada",
    "SNOWFLAKE_PASSWORD": "not-to-be-used",
    "SNOWFLAKE_WAREHOUSE": "WH",
    "SNOWFLAKE_ROLE": "ACCOUNTADMIN",
    "SNOWFLAKE_HOST": "elsewhere.example.com",
}


@pytest.fixture
def account(clean_environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of somebody who works on an account."""
    for name, value in ACCOUNT.items():
        clean_environment.setenv(name, value)
    return clean_environment


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "--base", "HEAD"], "FIRN_TARGET is local, and pull requests are built on ci"),
        (["drop"], "FIRN_TARGET is local, and pull requests are built on ci"),
        (["sweep"], "FIRN_TARGET is local, and pull requests are built on ci"),
        (["rehearse", "--domain", "shop"], "There is no domain shop: choose from tpch"),
        (["rehearse", "--base", "no-such-commit"], "This clone has no commit 'no-such-commit'"),
        (["comment", "--file", "/does/not/exist"], "No such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    arguments: list[str], said: str, clean_environment: pytest.MonkeyPatch
) -> None:
    result = CliRunner().invoke(app, ["ci", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "GITHUB_REPOSITORY is ''"),
        ({"GITHUB_REPOSITORY": "ada/firn"}, "GITHUB_TOKEN is not set"),
        ({"GITHUB_REPOSITORY": "ada/firn", "GITHUB_TOKEN": "t"}, "FIRN_PR_NUMBER is not set"),
        (
            {"GITHUB_REPOSITORY": "ada/firn", "GITHUB_TOKEN": "t", "FIRN_PR_NUMBER": "1/../2"},
            "FIRN_PR_NUMBER is '1/../2'",
        ),
    ],
)
def test_a_comment_needs_to_know_where(
    variables: dict[str, str], said: str, clean_environment: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN", "GITHUB_API_URL"):
        clean_environment.delenv(name, raising=False)
    for name, value in variables.items():
        clean_environment.setenv(name, value)
    result = CliRunner().invoke(app, ["ci", "comment"], input=f"{MARKER}\n")
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_workflow_gets_the_comment_whole_whatever_stands_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    said = f"{MARKER}\n\nEOF\nother=value\n"
    command._tell_workflow(said)
    first, *rest = output.read_text().splitlines()
    name, end = first.split("<<")
    assert name == "comment"
    assert len(end) == 32
    assert "\n".join(rest) == f"{said}{end}"
    assert summary.read_text() == said


def test_a_build_that_cannot_be_done_leaves_no_comment_of_an_earlier_push(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    clean_environment.setenv("GITHUB_OUTPUT", str(output))
    clean_environment.delenv("GITHUB_STEP_SUMMARY", raising=False)
    result = CliRunner().invoke(app, ["ci", "build", "--base", "HEAD"])
    assert result.exit_code == 2
    written = output.read_text()
    assert MARKER in written
    assert "Slim build: could not be done" in written
    assert "FIRN_TARGET" not in written


def test_a_rehearsal_reaches_no_account(account: pytest.MonkeyPatch) -> None:
    account.setenv("FIRN_LOCAL_PASSWORD", "of the local warehouse")
    for target in ("ci", "prod"):
        settings = rehearsal_settings(target, 3)
        arguments = settings.connector_arguments()
        assert settings.is_rehearsal
        assert settings.schema_prefix == ("pr_3_" if target == "ci" else "")
        assert (arguments["host"], arguments["protocol"]) == ("127.0.0.1", "http")
        assert "not-to-be-used" not in str(arguments)


def test_dbt_gets_no_variable_of_an_account_in_a_rehearsal(account: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    with environment_without_monitoring(rehearsal_settings("ci")):
        names = {name for name in os.environ if name.startswith("SNOWFLAKE_")}
        assert names == {"SNOWFLAKE_ACCOUNT"}
        assert os.environ["SNOWFLAKE_ACCOUNT"] == "local"
        assert os.environ["FIRN_ELEMENTARY"] == "off"
    assert dict(os.environ) == before


@pytest.mark.parametrize("status", ["success", "error"])
def test_dbt_that_fails_is_no_success_though_no_node_failed(
    status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = {"results": [{"unique_id": "model.firn.a", "status": status, "timing": []}]}

    def failing(self: Dbt, *_: str) -> dbtRunnerResult:
        (self.folder / "run_results.json").write_text(json.dumps(results))
        return dbtRunnerResult(success=False)

    monkeypatch.setattr(Dbt, "invoke", failing)
    dbt = Dbt(tmp_path, "ci", tmp_path)
    if status == "error":
        assert [node.failed for node in run_nodes(dbt, "build")] == [True]
    else:
        with pytest.raises(DbtError, match="dbt build could not do its work"):
            run_nodes(dbt, "build")


def test_dbt_gets_the_account_where_it_is_meant(account: pytest.MonkeyPatch) -> None:
    with environment_without_monitoring(ConnectionSettings()):
        assert os.environ["SNOWFLAKE_PASSWORD"] == "not-to-be-used"
