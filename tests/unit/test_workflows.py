"""The workflows: well formed, and nothing in them that an outsider could use."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from include.warehouse.connection import REPOSITORY
from supply_chain.__main__ import app as supply_chain
from tests.firn_command import command_of

FOLDER = REPOSITORY / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
BIN = Path(sys.executable).parent
BASE = "github.event.pull_request.base.sha"
SAME_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"

files = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def content(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    # YAML takes the word "on" for True.
    return {str(name).replace("True", "on"): value for name, value in read.items()}


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = content(file)["jobs"]
    return found


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(file).values() for step in job["steps"]]


def run(
    program: str, *arguments: str, folder: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_workflows_are_found() -> None:
    assert {file.name for file in FILES} == {
        "deploy.yml",
        "pull-request-closed.yml",
        "pull-request.yml",
        "supply-chain.yml",
        "sweep.yml",
    }


# -- what programs say of them ---------------------------------------------------------------------


def check(
    files: list[Path], folder: Path = REPOSITORY
) -> dict[str, subprocess.CompletedProcess[str]]:
    names = [str(file) for file in files]
    return {
        "actionlint": run("actionlint", "-no-color", *names, folder=folder),
        "zizmor": run("zizmor", "--offline", "--no-progress", *names, folder=folder),
        "schema": run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *names),
    }


def test_nothing_is_found_in_them() -> None:
    for program, done in check(FILES).items():
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    ("program", "before", "after", "said"),
    [
        ("actionlint", "make demo", "echo ${{ github.event.pull_request.title }}", "untrusted"),
        ("actionlint", "needs: [lint, demo]", "needs: [lint, demos]", "demos"),
        ("zizmor", "make demo", "echo ${{ github.event.pull_request.title }}", "injection"),
        ("zizmor", "  pull_request:", "  pull_request_target:", "dangerous-triggers"),
        ("zizmor", "persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("schema", "runs-on: ubuntu-24.04", "run-on: ubuntu-24.04", "is not valid"),
    ],
)
def test_a_mistake_is_found(
    program: str, before: str, after: str, said: str, tmp_path: Path
) -> None:
    text = (FOLDER / "pull-request.yml").read_text(encoding="utf-8")
    assert before in text
    file = tmp_path / ".github" / "workflows" / "pull-request.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text.replace(before, after, 1), encoding="utf-8")
    done = check([file], tmp_path)[program]
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


# -- what they may do ------------------------------------------------------------------------------


@files
def test_actions_are_pinned_and_few(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    used = re.findall(r"uses: (.+)", text)
    assert used
    for one in used:
        assert re.fullmatch(
            r"actions/(?:checkout|setup-python|upload-artifact)@[0-9a-f]{40} # v\d+\.\d+\.\d+", one
        ), one


def test_an_action_has_one_version() -> None:
    used = {one for file in FILES for one in re.findall(r"uses: (.+)", file.read_text())}
    assert len({one.split("@")[0] for one in used}) == len(used)


@files
def test_every_job_has_the_least_rights_and_an_end(file: Path) -> None:
    assert content(file)["permissions"] == {}
    assert content(file)["concurrency"]["group"]
    allowed = {("contents", "read"), ("pull-requests", "read"), ("pull-requests", "write")}
    for name, job in jobs(file).items():
        assert set(job["permissions"].items()) <= allowed, name
        assert ("pull-requests", "write") not in job["permissions"].items() or name == "comment"
        assert 0 < job["timeout-minutes"] <= 180, name


@files
def test_no_text_from_outside_stands_in_a_script(file: Path) -> None:
    assert "pull_request_target" not in content(file)["on"]
    for step in steps(file):
        assert "${{" not in step.get("run", "")
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
            assert step["with"].get("ref") in {None, f"${{{{ {BASE} }}}}"}


@files
def test_credentials_are_for_branches_of_this_repository_behind_an_environment(file: Path) -> None:
    for name, job in jobs(file).items():
        holds = "secrets." in yaml.safe_dump(job) or "self-hosted" in job["runs-on"]
        if holds:
            assert job["environment"] in {"ci", "production"}, name
            if "pull_request" in content(file)["on"]:
                assert SAME_REPOSITORY in job["if"], name
        for step in job["steps"]:
            # The key goes to a file of its own, and is not around while anything else runs.
            if "secrets.CI_PRIVATE_KEY }}" in yaml.safe_dump(step):
                assert set(step) == {"name", "env", "run"}
                assert "umask 077" in step["run"]


def test_the_checks_without_credentials_come_first() -> None:
    build = jobs(FOLDER / "pull-request.yml")
    assert set(build["slim"]["needs"]) == {"lint", "demo"}
    for name in ("lint", "demo", "test"):
        assert "secrets." not in yaml.safe_dump(build[name])
        assert "vars." not in yaml.safe_dump(build[name])
        assert "needs" not in build[name]
        assert "if" not in build[name]


def test_the_token_that_may_comment_is_not_there_while_the_change_runs() -> None:
    build = jobs(FOLDER / "pull-request.yml")
    assert "github.token" not in yaml.safe_dump(
        [build[name] for name in build if name != "comment"]
    )
    assert build["comment"]["steps"][0]["with"]["ref"] == f"${{{{ {BASE} }}}}"


def test_a_build_and_the_drop_of_its_schemas_exclude_each_other() -> None:
    groups = [
        content(FOLDER / name)["concurrency"]
        for name in ("pull-request.yml", "pull-request-closed.yml")
    ]
    assert groups[0] == groups[1]
    assert "github.event.pull_request.number" in groups[0]["group"]
    assert groups[0]["cancel-in-progress"] is True
    assert content(FOLDER / "deploy.yml")["concurrency"]["cancel-in-progress"] is False


def test_what_is_deployed_is_on_the_main_branch() -> None:
    for name, job in jobs(FOLDER / "deploy.yml").items():
        assert "github.ref == 'refs/heads/main' &&" in job["if"], name


def test_what_gets_no_secrets_is_not_asked_for_them() -> None:
    for file, name in (("pull-request.yml", "slim"), ("pull-request-closed.yml", "drop")):
        condition = jobs(FOLDER / file)[name]["if"]
        assert "github.event.pull_request.user.login != 'dependabot[bot]'" in condition


# -- what they call --------------------------------------------------------------------------------


def called(file: Path) -> list[list[str]]:
    """The words of every command of the scripts."""
    scripts = [step["run"] for step in steps(file) if "run" in step]
    return [
        shlex.split(part)
        for script in scripts
        for line in script.splitlines()
        for part in re.split(r" \| | && ", line.strip("()"))
    ]


@files
def test_what_is_called_exists(file: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for words in called(file):
        match words:
            case ["make", target]:
                assert f"\n{target}:" in makefile or target in makefile, target
            case [".ci/run"]:
                assert (REPOSITORY / ".ci/run").exists()
            case [".venv/bin/firn", *words]:
                command, options = command_of(words)
                taken = {name for one in command.params for name in one.opts}
                assert {one for one in options if one.startswith("--")} <= taken
            case [".venv/bin/python", "-m", "supply_chain", command, *_]:
                assert command in typer.main.get_command(supply_chain).commands  # type: ignore[attr-defined]
            case ["umask", "077"] | ["printf", *_]:
                pass
            case _:
                pytest.fail(f"{file.name} does by itself what belongs into a command: {words}")
