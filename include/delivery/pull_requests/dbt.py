"""dbt in this process, on one project and target."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from include.delivery.pull_requests.errors import CiError
from include.project.builds import RUN_RESULTS, NodeResult, read_run_results
from include.warehouse.connection import ConnectionSettings

MANIFEST = "manifest.json"


@contextmanager
def dbt_environment(settings: ConnectionSettings) -> Iterator[None]:
    """The variables that dbt connects by, for as long as this lasts; monitoring is off.

    Monitoring is for what is built for good. And in a rehearsal no variable of an account is left.
    """
    wanted = settings.environment() | {"FIRN_ELEMENTARY": "off"}
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("SNOWFLAKE_")]:
        del os.environ[name]
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True)
class Dbt:
    """One dbt project, run for one target; call it within `dbt_environment`.

    Attributes:
        project: its folder.
        target: the dbt target.
        folder: for what dbt writes.
        quiet: print only what is wrong.
    """

    project: Path
    target: str
    folder: Path
    quiet: bool = True

    def parse(self) -> dict[str, Any]:
        """The manifest of the project.

        Raises:
            CiError: the project cannot be parsed; the message ends with what dbt said.
        """
        done = self._invoke("parse")
        if not done.success:
            raise CiError(f"The dbt project in {self.project} cannot be parsed: {_said(done)}")
        return self.manifest()

    def manifest(self) -> dict[str, Any]:
        """The manifest as the last command left it."""
        content: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text())
        return content

    def selected(self, *arguments: str) -> list[str]:
        """The unique ids that a selection takes, of every kind.

        Raises:
            CiError: dbt refused the selection.
        """
        # dbt prints what it returns.
        with redirect_stdout(StringIO()):
            done = self._invoke("ls", "--output", "json", "--output-keys", "unique_id", *arguments)
        if not done.success:
            raise CiError(f"dbt could not compare the project with its base: {_said(done)}")
        return [str(json.loads(line)["unique_id"]) for line in done.result or ()]

    def run(self, command: str, *arguments: str) -> list[NodeResult]:
        """Run a command that builds or tests, and give what became of each node.

        Raises:
            CiError: it failed, and no node of it did.
        """
        (self.folder / RUN_RESULTS).unlink(missing_ok=True)
        done = self._invoke(command, *arguments)
        results = [] if done.exception else read_run_results(self.folder)
        if not done.success and not any(node.failed for node in results):
            raise CiError(f"dbt {command} could not do its work: {_said(done)}")
        return results

    def _invoke(self, command: str, *arguments: str) -> Any:
        # Takes seconds to import, and most commands of this package do without.
        from dbt.cli.main import dbtRunner

        options = [
            f"--project-dir={self.project}",
            f"--profiles-dir={self.project}",
            "--profile=firn",
            f"--target={self.target}",
            f"--target-path={self.folder}",
            f"--log-path={self.folder / 'logs'}",
            "--no-use-colors",
        ]
        if self.quiet:
            options.append("--quiet")
        return dbtRunner().invoke([command, *arguments, *options])


def _said(done: Any) -> str:
    return " ".join(str(done.exception or "its log says why").split())
