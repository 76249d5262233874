"""docs/adding-a-domain.md, followed to the letter in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from include.warehouse.connection import REPOSITORY
from tests.conftest import free_port

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PAGE = REPOSITORY / "docs" / "adding-a-domain.md"
FENCE = re.compile(r"(?ms)^```(\w+)(?: (\S+))?\n(.*?)^```$")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the file it is if it is one, and what it says."""

    language: str
    file: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found) for found in FENCE.findall(PAGE.read_text(encoding="utf-8"))]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project as it is here, with what is not committed yet and without what is generated."""
    folder = tmp_path / "firn"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (source := REPOSITORY / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name, follow_symlinks=False)
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    return folder


def words(text: str) -> list[str]:
    """The lines of a text, as words alone: tables are drawn differently on every terminal."""
    return [" ".join(re.findall(r"[\w.=/-]+", line)) for line in text.splitlines()]


def test_the_page_tells_all_there_is_to_do(copy: Path) -> None:
    told = blocks()
    written = {block.file for block in told if block.file}
    assert {Path(name).parts[0] for name in written} == {"include", ".firn", "dbt", "docs", "dags"}
    for name in written:
        assert not (copy / name).exists(), f"{name} is no new file"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    } | {
        "FIRN_HOME": str(copy / ".firn"),
        "FIRN_LOCAL_PORT": str(free_port()),
        "FIRN_ENV_FILE": os.devnull,
        "COLUMNS": "200",
    }

    def run(script: str) -> str:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{script}\n{ran.stdout[-4000:]}\n{ran.stderr[-2000:]}"
        return ran.stdout

    said, expected = "", 0
    try:
        for block in told:
            if block.file:
                file = copy / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
            elif block.language == "bash":
                environment |= dict(re.findall(r"(?m)^export (\w+)=(\S+)$", block.text))
                said = run(block.text)
            else:
                for line in words(block.text):
                    assert any(line in one for one in words(said)), f"{line!r} is not in:\n{said}"
                    expected += 1
    finally:
        run(".venv/bin/firn warehouse stop")
    assert expected >= 5
