"""The files beside the code: what they promise each other."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import sqlglot.expressions.core
import sqlglot.generator
import sqlglot.parser
import yaml
from packaging.requirements import Requirement
from sqlfluff.core.rules import get_ruleset

from include.core.settings import REGISTRY
from include.delivery.deployment.databases import PRODUCTION, STAGING
from include.delivery.deployment.dbt import IN_STAGING
from include.warehouse.connection import DATABASES, REPOSITORY

LOCKS = ("requirements", "requirements-image", "requirements-dev", "requirements-snow")


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def wanted(name: str) -> list[Requirement]:
    lines = (line.split("#")[0].split(" -")[0].strip() for line in text(name).splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9._-]+)==([^\s;]+)", text(name)))


# -- locks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_its_list_asks_for(name: str) -> None:
    lock = locked(f"{name}.txt")
    for requirement in wanted(f"{name}.in"):
        # A bound on a package that nobody asked for needs no line in the lock.
        pinned = lock.get(requirement.name.lower().replace("_", "-"))
        assert pinned is not None, f"{requirement} is not in {name}.txt: run make lock"
        assert requirement.specifier.contains(pinned), f"{name}.txt is old: run make lock"


def imported(*folders: str) -> set[str]:
    """The top-level names that the Python files under these folders import."""
    names: set[str] = set()
    for folder in folders:
        for file in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names.add(node.module.split(".")[0])
    return names


def test_every_package_that_is_imported_is_asked_for() -> None:
    runtime = {requirement.name for requirement in wanted("requirements.in")}
    providers = packages_distributions()
    # apache-airflow itself holds no module, only the packages that do.
    own = {"include", "airflow"}
    missing = {
        name: providers.get(name)
        for name in imported("include", "dags") - sys.stdlib_module_names - own
        if not runtime.intersection(
            distribution.lower().replace("_", "-") for distribution in providers.get(name, [])
        )
    }
    assert not missing, "add these to requirements.in and run make lock"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_checked_by_hash_and_says_nothing_of_where_it_was_made(name: str) -> None:
    content = text(f"{name}.txt")
    assert len(locked(f"{name}.txt")) > 50
    for block in re.split(r"(?m)^(?=[a-z0-9])", content)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert not re.findall(r"https?://|file:|index-url|find-links", content)


def test_the_development_lock_moves_no_runtime_version() -> None:
    development = locked("requirements-dev.txt")
    assert {name: development.get(name) for name in locked("requirements.txt")} == locked(
        "requirements.txt"
    )


def test_the_local_warehouse_s_parts_are_pinned_exactly() -> None:
    pins = {
        requirement.name: str(requirement.specifier) for requirement in wanted("requirements.in")
    }
    for name in ("fakesnow", "duckdb", "sqlglot"):
        assert pins[name].startswith("=="), name


def test_sqlglot_is_compiled_and_of_one_version() -> None:
    for name in ("requirements", "requirements-image", "requirements-dev"):
        lock = locked(f"{name}.txt")
        assert lock["sqlglotc"] == lock["sqlglot"]
    for module in (sqlglot.parser, sqlglot.generator, sqlglot.expressions.core):
        assert Path(module.__file__ or "").suffix in {".so", ".pyd"}, module


def test_one_python_everywhere() -> None:
    project = tomllib.loads(text("pyproject.toml"))
    assert project["project"]["requires-python"] == ">=3.11,<3.12"
    assert project["tool"]["mypy"]["python_version"] == "3.11"
    assert project["tool"]["ruff"]["target-version"] == "py311"
    assert "--python-version 3.11" in text("Makefile")
    assert sys.version_info[:2] == (3, 11)


# -- licence ---------------------------------------------------------------------------------------


def test_one_licence_everywhere() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE", "NOTICE"]
    # The text as the Apache Software Foundation publishes it, to the byte.
    assert hashlib.sha256((REPOSITORY / "LICENSE").read_bytes()).hexdigest() == (
        "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    )
    assert text("NOTICE").startswith("Firn\nCopyright 2026 The Firn authors\n")
    assert "[Apache-2.0](LICENSE)" in text("README.md")
    assert "[Apache-2.0](LICENSE)" in text("CONTRIBUTING.md")
    dockerfile = text("Dockerfile")
    assert 'org.opencontainers.image.licenses="Apache-2.0"' in dockerfile
    # The licence wants its text and the notice to go where the project goes.
    assert re.search(r"(?m)^COPY .*\bLICENSE NOTICE\b", dockerfile)


# -- settings --------------------------------------------------------------------------------------


def test_dbt_reads_no_variable_that_is_not_explained() -> None:
    read = set(re.findall(r"env_var\('([A-Z_]+)'", text("dbt/profiles.yml")))
    explained = set(REGISTRY)
    # A deployment alone sets the last one, for the dbt that it starts.
    assert read - {"LOGNAME", "USER", "USERNAME", IN_STAGING} <= explained
    # What writes RAW is never dbt.
    of_account = {name for name in explained if name.startswith("SNOWFLAKE_")}
    assert {name for name in of_account if not name.startswith("SNOWFLAKE_LOADER_")} <= read


def test_dbt_has_every_target_and_no_secret_in_its_profile() -> None:
    outputs = yaml.safe_load(text("dbt/profiles.yml"))["firn"]["outputs"]
    assert set(outputs) == set(DATABASES)
    for target, output in outputs.items():
        production = (
            f"{{{{ '{STAGING}' if env_var('{IN_STAGING}', '') == '1' else '{PRODUCTION}' }}}}"
        )
        assert output["database"] == (production if target == "prod" else DATABASES[target])
        if target != "local":
            assert output["password"].startswith(
                "{{ env_var('FIRN_LOCAL_PASSWORD', '') or none "
                "if env_var('SNOWFLAKE_ACCOUNT') | trim | lower == 'local' "
                "else env_var('SNOWFLAKE_PASSWORD', '') or none"
            )
        else:
            assert output["password"] == "{{ env_var('FIRN_LOCAL_PASSWORD', '') or none }}"


def test_secrets_and_generated_files_stay_out_of_git() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=REPOSITORY,
        input=".env\n.venv/x\n.venv-snow/x\n.firn/x\nrsa_key.p8\ndbt/target/x\ndbt/logs/x\n.env.example\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert ignored == [
        ".env",
        ".venv/x",
        ".venv-snow/x",
        ".firn/x",
        "rsa_key.p8",
        "dbt/target/x",
        "dbt/logs/x",
    ]


# -- commands --------------------------------------------------------------------------------------


def make(
    folder: Path, *arguments: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    program = shutil.which("make")
    assert program
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=environment | ({"PATH": path} if path else {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    for name in ("Makefile", *(f"{lock}.{kind}" for lock in LOCKS for kind in ("in", "txt"))):
        shutil.copy(REPOSITORY / name, folder)
    return folder


def test_make_alone_explains_every_target() -> None:
    result = make(REPOSITORY)
    assert result.returncode == 0
    for target in re.findall(r"(?m)^\.PHONY: (\S+)", text("Makefile")):
        assert re.search(rf"(?m)^  make {target} +\S", result.stdout), target


def test_an_installed_environment_is_not_installed_again(copy: Path) -> None:
    (copy / ".venv/bin").mkdir(parents=True)
    calls = copy / "calls"
    for program in ("python", "firn"):
        file = copy / ".venv/bin" / program
        file.write_text(f'#!/bin/sh\necho {program} "$@" >> "{calls}"\n')
        file.chmod(0o755)
    for stamp in (".runtime-installed", ".dev-installed"):
        (copy / ".venv" / stamp).touch()
    result = make(copy, "demo")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert calls.read_text() == "firn demo\n"
    os.utime(copy / "requirements.txt", (4_000_000_000, 4_000_000_000))
    assert "Installing the runtime environment" in make(copy, "--dry-run", "demo").stdout


def test_a_machine_without_python_3_11_is_told_so(copy: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "awk", "grep", "head", "touch", "rm", "find"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    other = tools / "python3"
    other.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" || exit 1\n')
    other.chmod(0o755)
    result = make(copy, "demo", path=str(tools))
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(
        "Firn needs Python 3.11, found Python 3.9.2: install Python 3.11 and have python3.11 on "
        "the PATH, then run make again.\n"
    )


def test_clean_refuses_while_something_runs_and_removes_it_all_afterwards(copy: Path) -> None:
    for folder in (".firn/run", ".firn/warehouse", ".venv/bin", "include/__pycache__"):
        (copy / folder).mkdir(parents=True)
    pid_file = copy / ".firn/run/warehouse.pid"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        pid_file.write_text(f"{running.pid}\n")
        refused = make(copy, "clean")
        assert running.stdin
        running.stdin.close()
    assert refused.returncode == 2
    assert f"process {running.pid} of .firn/run/warehouse.pid still runs" in refused.stderr
    assert (copy / ".firn/warehouse").exists()
    # The process is gone, its file is what a kill -9 leaves behind.
    assert make(copy, "clean").returncode == 0
    assert not [
        name for name in (".firn", ".venv", "include/__pycache__") if (copy / name).exists()
    ]


def test_continuous_integration_runs_make_test_and_fails_with_it(tmp_path: Path) -> None:
    runner = REPOSITORY / ".ci/run"
    assert runner.stat().st_mode & stat.S_IXUSR
    (tmp_path / ".ci").mkdir()
    shutil.copy(runner, tmp_path / ".ci/run")
    (tmp_path / "Makefile").write_text("test:\n\t@echo tested; exit 3\n")
    result = subprocess.run(
        [tmp_path / ".ci/run"], cwd="/", capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert result.stdout.startswith("tested\n")


def test_the_two_package_lists_of_dbt_are_one_file() -> None:
    link = REPOSITORY / "dbt/packages.yml"
    assert link.is_symlink()
    assert link.readlink() == Path("../packages.yml")
    assert yaml.safe_load(text("packages.yml")) is not None


def test_hooks_run_what_lint_runs() -> None:
    hooks = [
        hook["entry"]
        for repository in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
        for hook in repository["hooks"]
    ]
    makefile = text("Makefile")
    for tool in (
        "ruff check",
        "ruff format",
        "mypy",
        "sqlfluff lint",
        "actionlint",
        "zizmor --offline --quiet",
    ):
        assert any(tool in entry for entry in hooks), tool
        assert tool in makefile.split("lint: ")[1].split("format: ")[0], tool


def test_every_rule_of_sqlfluff_is_explained_and_exists() -> None:
    section = text(".sqlfluff").split("rules =")[1].split("\n[", maxsplit=1)[0]
    lines = [line.strip() for line in section.splitlines() if line.strip()]
    assert lines[0].startswith("#")
    known = get_ruleset().rule_reference_map()
    assert {line.rstrip(",") for line in lines if not line.startswith("#")} <= set(known)
