"""Elementary's tables, its tests, its report and its alerts, each as one call."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from include.core.errors import UserError
from include.project.dbt import TELL_NOBODY, Dbt, last_lines
from include.project.environment import dbt_environment
from include.project.manifest import MONITORING, ensure_manifest, read_manifest
from include.project.monitoring_switch import MonitoringOffError, Switch, monitoring_switch
from include.warehouse.catalogue import existing
from include.warehouse.connection import REPOSITORY, ConnectionSettings, connect, get_settings

PROJECT = REPOSITORY / "dbt"
SCHEMA = "elementary"
DAYS = 14
"""How far back the report and the metrics of tests look."""

_ELSEWHERE = re.compile(r"<link\b[^>]*\bhref=[\"']https?://[^>]*>")


class ElementaryError(UserError):
    """A program of Elementary or dbt failed; the message ends with what it said."""


class Elementary:
    """Elementary on the configured target.

    Args:
        settings: read from the environment if not given.
        switch: the same.

    Raises:
        MonitoringOffError: Elementary is off.
        ConfigurationError: the settings cannot be used.
    """

    def __init__(
        self, settings: ConnectionSettings | None = None, switch: Switch | None = None
    ) -> None:
        self.settings = settings or get_settings()
        self.switch = switch or monitoring_switch()
        self.switch.require()
        self.home = self.settings.home / "monitoring"

    def build(self) -> None:
        """Make or update Elementary's tables and views, and enter the project into them.

        Raises:
            ElementaryError: dbt failed.
        """
        # What a table of Elementary's holds is uploaded at the end of every dbt command; of the
        # project itself once here, not by each.
        self._dbt("run", "--select", SCHEMA, autoupload=True)

    def watch(self, manifest: Mapping[str, Any] | None = None) -> list[str]:
        """Measure the age of sources, and run the tests that Elementary makes.

        What is too old or odd is in Elementary's tables afterwards, and no error here.

        Args:
            manifest: dbt's; that of the project as it is now if not given.

        Returns:
            The tables that are not watched, because they are not there: nobody uses them yet.

        Raises:
            ElementaryError: dbt failed, or a test could not be run.
            ManifestError: the dbt project cannot be parsed.
        """
        if manifest is None:
            manifest = read_manifest(ensure_manifest(dbt_environment(self.settings)))
        sources: dict[str, list[str]] = {}
        for source in manifest["sources"].values():
            if source["freshness"]:
                name = f"source:{source['source_name']}.{source['name']}"
                sources[source["relation_name"].upper()] = [name]
        tests: dict[str, list[str]] = defaultdict(list)
        for node in manifest["nodes"].values():
            if node["resource_type"] == "test" and MONITORING in node["tags"]:
                (read,) = node["depends_on"]["nodes"]
                of = manifest["sources"].get(read) or manifest["nodes"][read]
                tests[of["relation_name"].upper()].append(node["name"])
        with connect(self.settings) as connection, connection.cursor() as cursor:
            there = existing(cursor, {*sources, *tests})
        if selected := [one for table, names in sources.items() if table in there for one in names]:
            # 1 is a source that is too old, which is a finding and no failure.
            self._dbt("source", "freshness", "--select", *selected, good=(0, 1))
        if selected := [one for table, names in tests.items() if table in there for one in names]:
            self._dbt("test", "--select", *selected)
        return sorted({*sources, *tests} - there)

    def write_report(self, file: Path) -> None:
        """Write Elementary's report, one page without anything beside it.

        Args:
            file: a file that ends in ``.html``; replaced when the report is complete.

        Raises:
            ElementaryError: it could not be made.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}")
        try:
            self._edr(
                "report",
                f"--file-path={unfinished}",
                f"--days-back={DAYS}",
                "--open-browser=false",
                "--project-name=Firn",
                # Rows of data stay in the warehouse.
                "--disable-samples=true",
            )
            if not unfinished.exists():
                raise ElementaryError("Elementary said nothing was wrong, and wrote no report.")
            # The fonts of its design are on other machines; those of the reader do as well.
            page = unfinished.read_text(encoding="utf-8")
            unfinished.write_text(_ELSEWHERE.sub("", page), encoding="utf-8")
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)

    def send_alerts(self, webhook: str, *, report_url: str = "") -> None:
        """Send what was found to Slack, each finding at most once a day.

        Args:
            webhook: the address of an incoming webhook, a secret.
            report_url: where readers find the report; no link if not given.

        Raises:
            ElementaryError: it failed, or Slack did not take all of it; what was not taken is
                sent by the next call.
        """
        link = [f"--report-url={report_url}"] if report_url else []
        # Of models and tests that end in an error Airflow tells. What the warehouse says of one may
        # hold a value, and Elementary would send it.
        for filters in (
            ("resource_types:test", "statuses:warn,fail"),
            ("resource_types:source_freshness", "statuses:warn,error"),
        ):
            self._edr(
                "monitor",
                "--days-back=1",
                "--group-by=table",
                # A finding that goes on is told of again after a day, not every hour.
                "--suppression-interval=24",
                "--disable-samples=true",
                *(f"--filters={one}" for one in filters),
                *link,
                secrets={"EDR_SLACK_WEBHOOK": webhook},
            )

    # -- programs -----------------------------------------------------------------------------

    def _dbt(self, *command: str, autoupload: bool = False, good: Sequence[int] = (0,)) -> None:
        # A folder each, as dbt parses everything again when variables change.
        folder = self.home / ("dbt-upload" if autoupload else "dbt")
        arguments = Dbt(PROJECT, self.settings.target, folder).command(*command)
        if autoupload:
            arguments.append("--vars={disable_dbt_artifacts_autoupload: false}")
        self._run(f"dbt {command[0]}", arguments, {}, good=good)

    def _edr(self, command: str, *options: str, secrets: Mapping[str, str] | None = None) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.home) as folder:
            configuration = Path(folder)
            (configuration / "profiles.yml").write_text(self._profile(), encoding="utf-8")
            (configuration / "config.yml").write_text(
                "anonymous_usage_tracking: false\nrun_dbt_deps_if_needed: false\n",
                encoding="utf-8",
            )
            self._run(
                command,
                [
                    *(sys.executable, "-m", "include.monitoring.edr", command, "--quiet-logs"),
                    f"--config-dir={configuration}",
                    f"--profiles-dir={configuration}",
                    f"--profile-target={self.settings.target}",
                    f"--env={'prod' if self.settings.target == 'prod' else 'dev'}",
                    f"--target-path={self.home / 'edr'}",
                    *options,
                ],
                {
                    # Elementary's commands have a dbt project of their own, which needs the same
                    # packages and must not write beside its code.
                    "DBT_PACKAGES_FOLDER": str(self.switch.packages),
                    "EDR_INTERNAL_TARGET_PATH": str(self.home / "edr" / "dbt"),
                    **(secrets or {}),
                },
            )

    def _profile(self) -> str:
        """The project's own connection under the name and schema that Elementary looks for."""
        profiles = yaml.safe_load((PROJECT / "profiles.yml").read_text(encoding="utf-8"))
        outputs = profiles["firn"]["outputs"]
        for target, output in outputs.items():
            # As in macros/generate_schema_name.sql.
            output["schema"] = SCHEMA if target == "prod" else f"{output['schema']}_{SCHEMA}"
        return yaml.safe_dump({"elementary": profiles["firn"]})

    def _run(
        self,
        what: str,
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        good: Sequence[int] = (0,),
    ) -> None:
        environment = {
            **os.environ,
            **self.settings.environment(),
            **self.switch.environment(),
            **TELL_NOBODY,
            **variables,
        }
        ended = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        sys.stdout.write(ended.stdout)
        if ended.returncode not in good:
            raise ElementaryError(f"Elementary's {what} failed:\n{last_lines(ended.stdout)}")


def report_writer() -> Callable[[Path], str | None]:
    """Writes Elementary's report into a file, or says in a sentence why there is none.

    Raises:
        ConfigurationError: the settings cannot be used.
    """

    def write(file: Path) -> str | None:
        try:
            Elementary().write_report(file)
        except (MonitoringOffError, ElementaryError) as error:
            return str(error)
        return None

    return write
