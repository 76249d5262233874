"""What Elementary's hooks add to a pipeline's build: the same build with and without, in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from include.domains.forex import sample as forex
from include.ingestion.loader import load_source
from include.ingestion.sources import load_domain
from include.monitoring.elementary import Elementary
from include.project.manifest import MONITORING, domain_selection
from include.project.monitoring_switch import Switch, monitoring_switch
from include.warehouse.connection import REPOSITORY, ConnectionSettings

DOMAIN = "forex"


class BuildError(RuntimeError):
    """A build failed; the message ends with what dbt said."""


@dataclass
class Build:
    """A build of the forex domain.

    Attributes:
        name: as shown.
        variables: what it is run with besides the connection.
        more: further arguments of dbt.
        seconds: of each run.
    """

    name: str
    variables: Mapping[str, str]
    more: tuple[str, ...] = ()
    seconds: list[float] = field(default_factory=list)


def measure(
    settings: ConnectionSettings, rows: int, repeat: int, say: Callable[[str], None]
) -> list[Build]:
    """Time incremental builds of the forex domain, the one without Elementary first.

    Args:
        settings: of a warehouse of its own.
        rows: of the delivery that is built first.
        repeat: runs of each.
        say: told what is going on.

    Raises:
        MonitoringOffError: the packages are not at hand.
        BuildError: dbt failed.
    """
    switch = monitoring_switch()
    switch.require()
    say(f"Loading {rows:,} rows, and building once")
    forex.deliver(1, rows, settings=settings)
    load_source(load_domain(DOMAIN).source("customer_transactions"), settings=settings)
    builds = [
        Build("without", Switch(switch.packages, "measured").environment()),
        Build("with", switch.environment()),
        Build(
            "with, and the project uploaded",
            switch.environment(),
            ("--vars={disable_dbt_artifacts_autoupload: false}",),
        ),
    ]
    Elementary(settings, switch).build()
    for build in builds:
        _run(settings, build)
        build.seconds.clear()
    for number in range(repeat):
        say(f"Round {number + 1} of {repeat}")
        for build in builds:
            _run(settings, build)
    return builds


def _run(settings: ConnectionSettings, build: Build) -> None:
    project = REPOSITORY / "dbt"
    # A folder each, as dbt parses everything again when variables change.
    folder: Path = settings.home / build.name.replace(" ", "-").replace(",", "")
    command = [
        *(str(Path(sys.executable).with_name("dbt")), "--no-use-colors", "build"),
        *("--select", *domain_selection(DOMAIN), "--exclude", f"tag:{MONITORING}"),
        *("--project-dir", str(project), "--profiles-dir", str(project)),
        *("--target-path", str(folder), "--log-path", str(folder)),
        *build.more,
    ]
    began = time.monotonic()
    ended = subprocess.run(
        command,
        env={**os.environ, **settings.environment(), **build.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        said = "\n".join(ended.stdout.strip().splitlines()[-12:])
        raise BuildError(f"The build {build.name} Elementary failed:\n{said}")
    build.seconds.append(time.monotonic() - began)
