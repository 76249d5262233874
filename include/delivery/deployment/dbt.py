"""What a deployment asks dbt for: the manifest, the age of sources, the build in staging."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.delivery.deployment.databases import PRODUCTION, STAGING
from include.delivery.deployment.errors import DeploymentError
from include.monitoring.elementary import SCHEMA as ELEMENTARY
from include.project.builds import read_freshness, read_run_results
from include.project.dbt import TELL_NOBODY, Dbt
from include.project.manifest import MONITORING, domain_selection
from include.project.monitoring_switch import monitoring_switch
from include.project.paths import dbt_project
from include.warehouse.connection import ConnectionSettings

IN_STAGING = "FIRN_BUILD_STAGING"
"""Set to 1, dbt's target prod is the staging database; see `dbt/profiles.yml`."""

PR_SET_PDEATHSIG = 1
"""From Linux's sys/prctl.h."""

CHECK_SECONDS = 0.5
END_SECONDS = 10.0
"""How long a program may take to end before it is killed."""

_NAMED = re.compile(rf'\b(?:{PRODUCTION}|{STAGING})"?\s*\.', re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """What is built, by the manifest of production.

    Attributes:
        domains: those that are built.
        without: those that are not, each with the source table that is not there.
        selection: dbt's selection of all that.
        sources: dbt's selection of the sources that are read.
        marts: schema and name of each mart that is built, in upper case, by the model's name.
        may_be_empty: the marts that say of themselves that no row is fine.
    """

    domains: Sequence[str]
    without: Mapping[str, str]
    selection: Sequence[str]
    sources: Sequence[str]
    marts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    may_be_empty: frozenset[str] = frozenset()


class DeployedProject:
    """The dbt project, with one folder for all that it says.

    Args:
        settings: which warehouse; its target is prod.
        folder: where the files go, `production/` for what names production, `staging/` else.
        check: raises an error when dbt must end.
    """

    def __init__(
        self, settings: ConnectionSettings, folder: Path, check: Callable[[], None]
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.check = check
        self.switch = monitoring_switch()

    @property
    def production(self) -> Path:
        """The target folder with the manifest that names production."""
        return self.folder / "production"

    @property
    def staging(self) -> Path:
        """The target folder of the build."""
        return self.folder / "staging"

    def parse(self) -> dict[str, Any]:
        """The manifest in which relations have the names that they have after the swap.

        Raises:
            DeploymentError: the project cannot be parsed.
        """
        if self._run(self.production, "parse"):
            raise DeploymentError(
                "The dbt project cannot be parsed, as said above. Production is as it was."
            )
        content: dict[str, Any] = json.loads((self.production / "manifest.json").read_text())
        return content

    def check_freshness(self, plan: Plan) -> None:
        """Ask whether the sources are fresh enough to be built on.

        Raises:
            DeploymentError: one is too old, or cannot be read.
        """
        if not plan.sources:
            return
        if self._run(self.staging, "source", "freshness", "--select", *plan.sources):
            old = [
                f"{one.unique_id.split('.', 2)[2]} ({one.status})"
                for one in read_freshness(self.staging)
                if one.status not in {"pass", "warn"}
            ]
            raise DeploymentError(
                f"Sources are too old or cannot be read: {', '.join(old) or 'see above'}. Load "
                "them, then deploy again. Production is as it was."
            )

    def build(self, plan: Plan) -> dict[str, Any]:
        """Build and test in the staging database.

        Returns:
            The manifest of that build.

        Raises:
            DeploymentError: a model or a test failed.
        """
        code = self._run(
            self.staging,
            *("build", "--indirect-selection", "buildable"),
            *("--select", *plan.selection, "--exclude", f"tag:{MONITORING}"),
        )
        if code:
            failed = [one.name for one in read_run_results(self.staging) if one.failed]
            what = ", ".join(failed[:10]) + (f" and {len(failed) - 10} more" if failed[10:] else "")
            raise DeploymentError(
                f"The build failed: {what or 'see above'}. Correct it, then deploy again. "
                "Production is as it was."
            )
        content: dict[str, Any] = json.loads((self.staging / "manifest.json").read_text())
        return content

    def _run(self, target: Path, *command: str) -> int:
        """Run dbt, which prints what it does; its exit code."""
        target.mkdir(parents=True, exist_ok=True)
        variables = {
            **os.environ,
            **self.settings.environment(),
            **self.switch.environment(),
            **TELL_NOBODY,
            IN_STAGING: "1" if target == self.staging else "0",
        }
        command = tuple(Dbt(dbt_project(), "prod", target).command(*command))
        return run_while_alive(command, variables, self.check)


def run_while_alive(
    command: Sequence[str], variables: Mapping[str, str], check: Callable[[], None]
) -> int:
    """Run a program that ends with this process, even if this process is killed.

    If a deployment is dead or has lost its lock, its dbt must not keep running: it would write
    into the copy of the next deployment. Only Linux can end a child together with its parent.

    Args:
        command: the program and its arguments.
        variables: its environment.
        check: is called regularly; when it raises an error, the program and its children end.

    Returns:
        the program's exit code.
    """
    # Loaded here, so that nothing is imported between fork and exec.
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def end_with_parent() -> None:
        # If this process ignores SIGINT, as in the background of a script, a child inherits that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if libc:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    with subprocess.Popen(
        command, env=variables, preexec_fn=end_with_parent, process_group=0
    ) as process:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(CHECK_SECONDS)
                check()
        except BaseException:
            _end_group(process)
            raise


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and its children with Ctrl-C's signal, so that dbt cancels its statements."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)


def plan(
    manifest: Mapping[str, Any], there: Iterable[str], wanted: Sequence[str], *, monitored: bool
) -> Plan:
    """What can be built, or what of it is asked for.

    Args:
        manifest: that of production.
        there: the source tables that there are, by database, schema and name, in upper case.
        wanted: the domains that are asked for; if none is, all that have their sources, but for
            those whose models say `deploy: false` in their `meta`.
        monitored: whether Elementary's tables are built too.

    Raises:
        DeploymentError: a domain that is asked for is none, or its sources are not there.
    """
    known, existing = _sources_by_domain(manifest), set(there)
    if unknown := sorted(set(wanted) - set(known)):
        raise DeploymentError(
            f"{', '.join(unknown)} is no domain of the dbt project: choose among "
            f"{', '.join(sorted(known))}."
        )
    without = {
        domain: sorted(missing)[0]
        for domain, tables in known.items()
        if (missing := tables.keys() - existing)
    }
    for domain in wanted:
        if domain in without:
            raise DeploymentError(
                f"{domain} cannot be built, as {without[domain]} is not there: run its pipeline "
                "once, or leave the domain out. Production is as it was."
            )
    for domain in _left_to_their_pipelines(manifest).difference(wanted):
        known.pop(domain, None)
        without.pop(domain, None)
    domains = sorted(wanted or known.keys() - without.keys())
    if not domains:
        raise DeploymentError(
            "No domain can be built, as none has its source tables: run a pipeline first."
        )
    marts, may_be_empty = {}, set()
    for node in manifest["nodes"].values():
        folders = Path(node["original_file_path"]).parts
        if node["resource_type"] == "model" and folders[1] == "mart" and folders[2] in domains:
            marts[node["name"]] = (node["schema"].upper(), node["alias"].upper())
            if node["config"].get("meta", {}).get("may_be_empty"):
                may_be_empty.add(node["name"])
    return Plan(
        domains,
        {} if wanted else dict(sorted(without.items())),
        [
            *(one for domain in domains for one in domain_selection(domain)),
            *([f"package:{ELEMENTARY}"] if monitored and not wanted else []),
        ],
        sorted({one for domain in domains for one in known[domain].values()}),
        marts,
        frozenset(may_be_empty),
    )


def _sources_by_domain(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The source tables that each domain reads: relation in upper case, and dbt's selection."""
    found: dict[str, dict[str, str]] = {}
    for unique_id, node in manifest["nodes"].items():
        folders = Path(node["original_file_path"]).parts
        if node["resource_type"] != "model" or node["package_name"] == ELEMENTARY:
            continue
        tables = found.setdefault(folders[2], {})
        for parent in manifest["parent_map"].get(unique_id, ()):
            if source := manifest["sources"].get(parent):
                relation = f"{source['database']}.{source['schema']}.{source['identifier']}"
                name = f"source:{source['source_name']}.{source['name']}"
                tables[relation.upper()] = name
    return found


def _left_to_their_pipelines(manifest: Mapping[str, Any]) -> set[str]:
    """The domains that a deployment leaves as they are in production."""
    return {
        Path(node["original_file_path"]).parts[2]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and node["config"].get("meta", {}).get("deploy") is False
    }


def views_that_name_a_database(manifest: Mapping[str, Any]) -> list[str]:
    """The views of a build whose text would still name one of the two databases after the swap."""
    return sorted(
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and node["config"]["materialized"] in {"view", "ephemeral"}
        and _NAMED.search(_without_comments(node.get("compiled_code") or ""))
    )


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", sql, flags=re.DOTALL)
