"""The dbt project as dbt sees it, for tests that need no warehouse."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

PROJECT = Path(__file__).parents[2] / "dbt"

Node = dict[str, Any]

EVERYTHING = ("--vars", "{platform_enabled: true}")
"""Arguments that switch on what is off on the local target."""


@dataclass(frozen=True)
class Outcome:
    """What one dbt command did, without a connection to any warehouse."""

    success: bool
    messages: list[str]
    target: Path

    @property
    def said(self) -> str:
        """All that dbt said, in one line."""
        return " ".join(" ".join(self.messages).split())

    @property
    def manifest(self) -> Node:
        assert self.success, self.said
        manifest: Node = json.loads((self.target / "manifest.json").read_text())
        return manifest


def dbt(command: str, project: Path, target: Path, *arguments: str, **environment: str) -> Outcome:
    messages: list[str] = []

    def listen(event: Any) -> None:
        if event.info.level in {"warn", "error"}:
            messages.append(f"{event.info.level}: {event.info.msg}")

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"FIRN_USER": "Ana.Lopez", **environment}.items():
            patch.setenv(name, value)
        done = dbtRunner(callbacks=[listen]).invoke(
            [
                command,
                f"--project-dir={project}",
                f"--profiles-dir={project}",
                f"--target-path={target}",
                f"--log-path={target / 'logs'}",
                *arguments,
            ]
        )
    if done.exception:
        messages.append(str(done.exception))
    return Outcome(done.success, messages, target)


def parse(project: Path, target: Path, **environment: str) -> Outcome:
    return dbt("parse", project, target, **environment)


def compiled(folder: Path) -> Node:
    """The manifest of the whole project with all its SQL, incremental models as in a later run."""
    project = folder / "dbt"
    shutil.copytree(PROJECT, project)
    # dbt's own asks the warehouse.
    (project / "macros" / "is_incremental.sql").write_text(
        "{% macro is_incremental() %}{{ return(true) }}{% endmacro %}"
    )
    options = ("--no-introspect", "--no-populate-cache", *EVERYTHING)
    return dbt("compile", project, folder / "target", *options).manifest
