"""The one way to run dbt, in this process or in one of its own.

Airflow imports this each time it parses a DAG file, so it imports little.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from include.core.errors import UserError
from include.project.paths import dbt_executable

MANIFEST = "manifest.json"

TELL_NOBODY = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "False", "DO_NOT_TRACK": "1"}


class DbtError(UserError):
    """dbt could not do its work; the message ends with what dbt said."""


@dataclass(frozen=True)
class Dbt:
    """One dbt project, run for one target.

    Attributes:
        project: its folder, which also holds `profiles.yml`.
        target: the dbt target.
        folder: for what dbt writes, the manifest, results and log among it.
        quiet: whether commands in this process print only what is wrong.
    """

    project: Path
    target: str
    folder: Path
    quiet: bool = True

    def arguments(self, *command: str) -> list[str]:
        """What follows `dbt` on the command line."""
        return [
            "--no-use-colors",
            *command,
            "--profile=firn",
            f"--target={self.target}",
            f"--project-dir={self.project}",
            f"--profiles-dir={self.project}",
            f"--target-path={self.folder}",
            f"--log-path={self.folder}",
        ]

    def command(self, *command: str) -> list[str]:
        """The command line of a process."""
        return [dbt_executable(), *self.arguments(*command)]

    def call(self, *command: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own, and keep what it prints.

        Args:
            command: the command and its arguments.
            variables: the environment of the process.
        """
        return subprocess.run(
            self.command(*command),
            env={**variables, **TELL_NOBODY},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    # -- in this process, with its environment ------------------------------------------------

    def parse(self) -> dict[str, Any]:
        """The manifest of the project.

        Raises:
            DbtError: the project cannot be parsed.
        """
        done = self.invoke("parse")
        if not done.success:
            raise DbtError(f"The dbt project in {self.project} cannot be parsed: {said(done)}")
        return self.manifest()

    def manifest(self) -> dict[str, Any]:
        """The manifest as the last command left it."""
        content: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text())
        return content

    def selected(self, *arguments: str) -> list[str]:
        """The unique ids that a selection takes, of every kind.

        Raises:
            DbtError: dbt refused the selection.
        """
        # dbt prints what it returns.
        with redirect_stdout(StringIO()):
            done = self.invoke("ls", "--output", "json", "--output-keys", "unique_id", *arguments)
        if not done.success:
            raise DbtError(f"dbt cannot list the nodes of {' '.join(arguments)}: {said(done)}")
        return [str(json.loads(line)["unique_id"]) for line in done.result or ()]

    def invoke(self, *command: str) -> Any:
        """Run a command; what dbt's own runner returns."""
        # Takes seconds to import, and most commands do without.
        from dbt.cli.main import dbtRunner

        return dbtRunner().invoke([*(["--quiet"] if self.quiet else []), *self.arguments(*command)])


def last_lines(printed: str, count: int = 12) -> str:
    """The end of what a program printed, where dbt says what is wrong."""
    return "\n".join(printed.strip().splitlines()[-count:])


def said(done: Any) -> str:
    """What dbt's own runner says of a failure."""
    return " ".join(str(done.exception or "its log says why").split())
