"""What the project is made of: licences, vulnerabilities, bill of materials, secrets, updates."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from include.warehouse.connection import REPOSITORY
from supply_chain import __main__ as command
from supply_chain import vulnerabilities
from supply_chain.licences import check, installed
from supply_chain.policy import Policy, PolicyError, locked
from supply_chain.vulnerabilities import judge

BIN = Path(sys.executable).parent


# -- licences --------------------------------------------------------------------------------------


def policy(**parts: Any) -> Policy:
    return Policy.model_validate(
        {"licences": ["MIT"], "exceptions": {}, "vulnerabilities": []} | parts
    )


EXCEPTED = {"odd": {"licence": "LGPL-3.0-only", "reason": "Unchanged."}}


@pytest.mark.parametrize(
    ("found", "exceptions", "problem"),
    [
        ({"odd": "GPL-3.0"}, {}, "odd is under GPL-3.0, which is not allowed"),
        ({"odd": "MIT"}, EXCEPTED, "odd is excepted as LGPL-3.0-only and is now under MIT"),
        ({"other": "MIT"}, EXCEPTED, "odd is excepted in supply_chain/policy.yml and not locked"),
        ({"odd": "LGPL-3.0-only"}, EXCEPTED, None),
        ({"odd": "MIT"}, {}, None),
    ],
)
def test_a_licence_is_allowed_or_excepted_or_told_of(
    found: dict[str, str], exceptions: dict[str, Any], problem: str | None
) -> None:
    result = check(dict.fromkeys(found, "1.0"), found, policy(exceptions=exceptions))
    assert [one.split(":")[0] for one in result.problems] == ([problem] if problem else [])


def test_a_package_that_is_not_installed_here_is_not_called_checked() -> None:
    result = check({"here": "1", "windows": "1"}, {"here": "MIT", "more": "GPL"}, policy())
    assert (result.checked, result.absent, result.problems) == (1, ["windows"], [])


def test_every_locked_package_that_is_installed_has_an_allowed_licence() -> None:
    lock, found = locked(REPOSITORY / "requirements-dev.txt"), installed()
    result = check(lock, found, Policy.read())
    assert result.problems == []
    assert result.checked > 250
    # Those of other platforms and Pythons; more would mean that this is another environment.
    assert len(result.absent) < 10, result.absent


def test_each_exception_has_a_reason_and_no_licence_is_allowed_that_nothing_has() -> None:
    read, found = Policy.read(), installed()
    assert all(len(one.reason.split()) > 3 for one in read.exceptions.values())
    assert set(read.licences) <= set(found.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("licences: [MIT]\nexceptions: {}\n", "vulnerabilities: Field required"),
        ("licences: [MIT]\nexceptions: {a: {licence: GPL}}\nvulnerabilities: []\n", "a.reason"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_policy_that_is_none_is_told_of(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "policy.yml"
    file.write_text(text)
    with pytest.raises(PolicyError, match=re.escape(said)):
        Policy.read(file)


# -- vulnerabilities -------------------------------------------------------------------------------

FLAW = {"id": "PYSEC-2026-1", "fix_versions": ["2.0"], "aliases": ["CVE-2026-1"], "description": ""}
BAD = {"name": "bad", "version": "1.0", "vulns": [FLAW]}
GOOD = {"name": "good", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}


def answer(*packages: Any, code: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, json.dumps({"dependencies": packages}), "")


NO_ANSWER = subprocess.CompletedProcess([], 1, "", "Traceback\nConnectionError: no such host\n")


def test_found_not_found_and_not_asked_are_three_things() -> None:
    found = judge(answer(BAD, GOOD, code=1), policy())
    assert found.found == ["bad 1.0: PYSEC-2026-1, mended in 2.0."]
    assert (found.asked, found.not_asked) == (2, "")

    clean = judge(answer(GOOD), policy())
    assert (clean.found, clean.not_asked, clean.asked) == ([], "", 1)

    # pip-audit itself ends with 0 here.
    silent = judge(answer(GOOD, UNKNOWN), policy())
    assert (silent.found, silent.asked) == ([], 1)
    assert silent.not_asked == "the service did not answer about 1 of 2: unknown"

    unreachable = judge(NO_ANSWER, policy())
    assert unreachable.asked == 0
    assert unreachable.not_asked == "pip-audit got no answer: ConnectionError: no such host"


@pytest.mark.parametrize("name", ["PYSEC-2026-1", "CVE-2026-1"])
def test_an_accepted_vulnerability_is_left_until_its_day(name: str) -> None:
    accepted = policy(
        vulnerabilities=[{"id": name, "reason": "Not called.", "until": date(2026, 6, 1)}]
    )
    before = judge(answer(BAD, code=1), accepted, today=date(2026, 6, 1))
    assert (before.found, before.overdue) == ([], [])
    after = judge(answer(BAD, code=1), accepted, today=date(2026, 6, 2))
    assert len(after.found) == 1
    assert after.overdue[0].startswith(f"{name} was accepted until 2026-06-01 (Not called.)")


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (answer(GOOD), 0, "0 in 1 packages"),
        (answer(BAD, UNKNOWN, code=1), 1, "bad 1.0: PYSEC-2026-1"),
        (answer(UNKNOWN), 3, "NOT KNOWN: the service did not answer about 1 of 1: unknown"),
        (NO_ANSWER, 3, "NOT KNOWN: pip-audit got no answer"),
    ],
)
def test_the_exit_code_says_which(
    monkeypatch: pytest.MonkeyPatch,
    given: subprocess.CompletedProcess[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(vulnerabilities, "ask", lambda *_: given)
    run = CliRunner().invoke(command.app, ["vulnerabilities"])
    assert run.exit_code == code
    assert said in run.output


def test_pip_audit_is_asked_and_its_silence_is_no_all_clear(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The real program, behind a proxy that is not there.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"certifi==2026.1.1 --hash=sha256:{'0' * 64}\n")
    run = CliRunner().invoke(command.app, ["vulnerabilities", "--lock", str(lock)])
    assert run.exit_code == command.NOT_ASKED, run.output
    assert "NOT KNOWN" in run.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["vulnerabilities", "--lock", "nowhere.txt"],
        ["vulnerabilities", "--service", "rumour"],
        ["licences", "--lock", "Makefile"],
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str]) -> None:
    run = CliRunner().invoke(command.app, arguments)
    assert run.exit_code == 2
    assert len(run.output.strip().splitlines()) == 1


# -- bill of materials -----------------------------------------------------------------------------


def test_the_bill_of_materials_names_every_package_with_its_hashes(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        f"one==1.0 \\\n    --hash=sha256:{'a' * 64}\ntwo==2.0 \\\n    --hash=sha256:{'b' * 64}\n"
    )
    files = [tmp_path / name for name in ("first.json", "second.json")]
    for file in files:
        run = CliRunner().invoke(command.app, ["sbom", str(file), "--lock", str(lock)])
        assert run.exit_code == 0, run.output
    assert files[0].read_bytes() == files[1].read_bytes()
    bill = json.loads(files[0].read_text())
    assert bill["bomFormat"] == "CycloneDX"
    project = bill["metadata"]["component"]
    assert (project["name"], project["type"]) == ("firn", "application")
    assert project["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert {part["purl"] for part in bill["components"]} == {"pkg:pypi/one@1.0", "pkg:pypi/two@2.0"}
    assert {
        held["content"]
        for part in bill["components"]
        for link in part["externalReferences"]
        for held in link["hashes"]
    } == {"a" * 64, "b" * 64}


# -- secrets ---------------------------------------------------------------------------------------

BASELINE = REPOSITORY / ".secrets.baseline"


def hook(*names: str | Path) -> subprocess.CompletedProcess[str]:
    """The hook as it stands in the configuration of pre-commit."""
    (entry,) = [
        one["entry"]
        for repository in yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())[
            "repos"
        ]
        for one in repository["hooks"]
        if one["id"] == "secrets"
    ]
    program, *options = entry.replace(".secrets.baseline", str(BASELINE)).split()
    return subprocess.run(
        [BIN / Path(program).name, *options, *names],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("file", "content", "kind"),
    [
        ("settings.py", 'key = "AKIA{}"\n', "AWS Access Key"),
        ("rsa_key.txt", "-----BEGIN {} PRIVATE KEY-----\nabc\n", "Private Key"),
        (".env", "FIRN_TARGET=dev\nSNOWFLAKE_PASSWORD={}\n", "Secret Keyword"),
        ("docker-compose.yml", "      POSTGRES_PASSWORD: {}\n", "Secret Keyword"),
    ],
)
def test_a_planted_secret_is_found(tmp_path: Path, file: str, content: str, kind: str) -> None:
    # Put together here, so that this file holds none.
    secret = {"AWS Access Key": "Q3EGRIIZ7ABCDEFG", "Private Key": "RSA"}.get(
        kind, "Zq8hTr3v" + "Lw"
    )
    planted = tmp_path / file
    planted.write_text(content.format(secret))
    found = hook(planted)
    assert found.returncode == 1, found.stdout
    assert kind in found.stdout
    assert secret not in found.stdout
    planted.write_text("FIRN_TARGET=dev\n")
    assert hook(planted).returncode == 0


def test_no_file_of_the_project_holds_a_secret() -> None:
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    found = hook(*filter(None, files))
    assert found.returncode == 0, (
        f"{found.stdout}\nIf it is none: {BIN / 'detect-secrets'} scan --no-verify --slim "
        "--baseline .secrets.baseline"
    )


def test_the_baseline_leaves_no_kind_of_secret_out() -> None:
    baseline = json.loads(BASELINE.read_text())
    plugins = {plugin["name"] for plugin in baseline["plugins_used"]}
    assert {"AWSKeyDetector", "PrivateKeyDetector", "KeywordDetector", "SlackDetector"} <= plugins
    excluded = [
        pattern
        for used in baseline["filters_used"]
        if used["path"].endswith("should_exclude_file")
        for pattern in used["pattern"]
    ]
    # Hashes of packages, pictures and itself.
    assert excluded == [r"^requirements.*\.txt$", r"\.(png|svg)$", r"^\.secrets\.baseline$"]


# -- updates ---------------------------------------------------------------------------------------


def test_updates_are_configured_as_their_schema_wants_and_cover_what_has_no_lock() -> None:
    file = REPOSITORY / ".github" / "dependabot.yml"
    checked = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.dependabot", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    updates = {one["package-ecosystem"]: one for one in yaml.safe_load(file.read_text())["updates"]}
    assert set(updates) == {"github-actions", "docker-compose"}
    ignored = {one["dependency-name"] for one in updates["docker-compose"]["ignore"]}
    assert ignored == {"postgres", "redis"}
