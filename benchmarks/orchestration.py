"""What Airflow adds to a dbt build: dbt alone, and runs of the DAG with and without a scheduler."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from tenacity import Retrying, stop_after_delay, wait_fixed

from benchmarks.results import BenchmarkError, Detail, Report, Result, Say
from benchmarks.warehouse import free_port, own_warehouse
from include.airflow import local as local_airflow
from include.airflow.environment import AIRFLOW_USER, airflow_environment
from include.domains.tpch import sample as tpch
from include.orchestration import single_run
from include.project.manifest import NO_BOUNDS, domain_selection
from include.project.paths import dbt_executable
from include.warehouse.connection import REPOSITORY, ConnectionSettings

DOMAIN, DAG = "tpch", "tpch__orders__4h"
PATIENCE_SECONDS = 900


@dataclass
class Way:
    """One way to build the domain.

    Attributes:
        name: as shown.
        seconds: of each run; under a scheduler, from the first task's start to the run's end.
        models: how many models it builds.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    models: int = 0


def run(scale: float, repeat: int, say: Say) -> Report:
    """Time incremental builds of the domain, dbt alone and by Airflow.

    Args:
        scale: of TPC-H.
        repeat: runs of each way.
        say: told what is going on.

    Raises:
        BenchmarkError: a build or a run failed.
    """
    # An Airflow that runs already has the usual port.
    airflow = {"FIRN_AIRFLOW_PORT": str(free_port())}
    with own_warehouse() as warehouse, patch.dict(os.environ, airflow):
        alone, *runs = _measure(warehouse.settings, scale, repeat, say)
    least = median(alone.seconds)
    return Report(
        [
            Result(
                "orchestration",
                f"{way.name} of {DOMAIN}, scale {scale:g}, {way.models} models",
                median(way.seconds),
                "s",
                least,
                alone.name,
            )
            for way in runs
        ],
        Detail(
            ("way", "seconds", "least", "more than dbt"),
            [
                (
                    way.name,
                    f"{median(way.seconds):.1f}",
                    f"{min(way.seconds):.1f}",
                    f"{median(way.seconds) - least:.1f}",
                )
                for way in (alone, *runs)
            ],
        ),
    )


def _measure(settings: ConnectionSettings, scale: float, repeat: int, say: Say) -> list[Way]:
    """The ways, dbt alone first."""
    say(f"Loading TPC-H at scale {scale}, and building once")
    tpch.load(scale, settings=settings)
    variables = airflow_environment(headless=True, settings=settings)
    local_airflow.prepare(variables)
    alone, headless, scheduled = Way("dbt build alone"), Way("headless run"), Way("scheduled run")
    try:
        _headless(variables)
        for number in range(repeat):
            say(f"Run {number + 1} of {repeat}, by dbt alone and without a scheduler")
            alone.seconds.append(_alone(variables, settings.home))
            seconds, headless.models = _headless(variables)
            headless.seconds.append(seconds)
    finally:
        single_run.close()
    say("Starting Airflow")
    variables = airflow_environment(settings=settings)
    url = local_airflow.start(variables)
    try:
        token = call(f"{url}/auth/token", "", "POST", _login(variables))["access_token"]
        call(f"{url}/api/v2/dags/{DAG}", token, "PATCH", {"is_paused": False})
        # The first run finds processes that have imported nothing yet.
        for number in range(repeat + 1):
            say(f"Run {number} of {repeat}" if number else "A run that does not count")
            seconds, scheduled.models = _scheduled(f"{url}/api/v2/dags/{DAG}/dagRuns", token)
            if number:
                scheduled.seconds.append(seconds)
    finally:
        local_airflow.stop(variables)
    return [alone, headless, scheduled]


def _alone(variables: Mapping[str, str], home: Path) -> float:
    began = time.monotonic()
    done = subprocess.run(
        [
            *(dbt_executable(), "--no-use-colors", "build", "--profile", "firn"),
            *("--target", "local", "--vars", json.dumps(NO_BOUNDS)),
            *("--project-dir", "dbt", "--profiles-dir", "dbt", "--indirect-selection", "buildable"),
            *("--exclude-resource-type", "unit_test", "--select", *domain_selection(DOMAIN)),
            *("--target-path", str(home / "alone"), "--log-path", str(home / "alone")),
        ],
        cwd=REPOSITORY,
        env=dict(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError("dbt build failed:\n" + "\n".join(done.stdout.splitlines()[-12:]))
    return time.monotonic() - began


def _headless(variables: Mapping[str, str]) -> tuple[float, int]:
    done = single_run.run_dag(DAG, variables)
    if not done.succeeded:
        raise BenchmarkError(f"The run of {DAG} failed; see {done.log}.")
    return done.seconds, sum(task.count(".") > 1 for task in done.tasks)


def _scheduled(runs: str, token: str) -> tuple[float, int]:
    run_id = call(runs, token, "POST", {"logical_date": None})["dag_run_id"]
    address = f"{runs}/{quote(run_id)}"
    found: dict[str, Any] = {}
    patience = stop_after_delay(PATIENCE_SECONDS)
    for attempt in Retrying(stop=patience, wait=wait_fixed(1), reraise=True):
        with attempt:
            found = call(address, token)
            if found["state"] in {"queued", "running"}:
                raise BenchmarkError(f"The run of {DAG} does not end.")
    if found["state"] != "success":
        raise BenchmarkError(f"The run of {DAG} failed; its logs are on Airflow's page.")
    tasks = call(f"{address}/taskInstances?limit=1000", token)["task_instances"]
    began = min(datetime.fromisoformat(task["start_date"]) for task in tasks if task["start_date"])
    seconds = (datetime.fromisoformat(found["end_date"]) - began).total_seconds()
    return seconds, sum(task["task_id"].count(".") > 1 for task in tasks)


def _login(variables: Mapping[str, str]) -> dict[str, str]:
    return {"username": AIRFLOW_USER, "password": local_airflow.password(variables)}


def call(url: str, token: str, method: str = "GET", body: Any = None) -> dict[str, Any]:
    """One request to Airflow's API; an empty token sends none."""
    request = urllib.request.Request(  # noqa: S310
        url,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Content-Type": "application/json"}
        | ({"Authorization": f"Bearer {token}"} if token else {}),
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
