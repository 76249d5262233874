"""What Elementary's hooks add to a pipeline's build: the same build with and without, in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.results import BenchmarkError, Detail, Report, Result, Say
from benchmarks.warehouse import own_warehouse
from include.domains.forex import sample as forex
from include.ingestion.loader import load_source
from include.ingestion.sources import load_domain
from include.monitoring.elementary import Elementary
from include.project.manifest import MONITORING, domain_selection
from include.project.monitoring_switch import Switch, monitoring_switch
from include.warehouse.connection import REPOSITORY, ConnectionSettings

DOMAIN = "forex"
WITH, UPLOADED = "with Elementary", "with Elementary, project uploaded"
MOST_RATIO = 1.15


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


def run(rows: int, repeat: int, say: Say) -> Report:
    """Time incremental builds of the forex domain with Elementary and without.

    Args:
        rows: of the delivery that is built first.
        repeat: runs of each.
        say: told what is going on.

    Raises:
        MonitoringOffError: the packages are not at hand.
        BenchmarkError: dbt failed.
    """
    switch = monitoring_switch()
    switch.require()
    with own_warehouse() as warehouse:
        without, *others = _measure(warehouse.settings, switch, rows, repeat, say)
    least = median(without.seconds)
    targets = {WITH: MOST_RATIO, UPLOADED: None}
    return Report(
        [
            Result(
                "monitoring",
                f"dbt build of {DOMAIN} {build.name}",
                median(build.seconds),
                "s",
                least,
                without.name,
                targets[build.name],
            )
            for build in others
        ],
        Detail(
            ("build", "seconds", "least"),
            [
                (build.name, f"{median(build.seconds):.2f}", f"{min(build.seconds):.2f}")
                for build in (without, *others)
            ],
        ),
    )


def _measure(
    settings: ConnectionSettings, switch: Switch, rows: int, repeat: int, say: Say
) -> list[Build]:
    """The builds, the one without Elementary first."""
    say(f"Loading {rows:,} rows, and building once")
    forex.deliver(1, rows, settings=settings)
    load_source(load_domain(DOMAIN).source("customer_transactions"), settings=settings)
    builds = [
        Build("without Elementary", Switch(switch.packages, "measured").environment()),
        Build(WITH, switch.environment()),
        Build(
            UPLOADED,
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
        raise BenchmarkError(f"The build {build.name} failed:\n{said}")
    build.seconds.append(time.monotonic() - began)
