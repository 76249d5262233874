"""Airflow with a scheduler, as `make up` starts it, and its API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

from tenacity import Retrying, retry_if_exception, stop_after_attempt

from benchmarks.orchestration import call
from include.airflow import local as local_airflow
from include.airflow.environment import AIRFLOW_USER
from include.project.paths import REPOSITORY


@dataclass(frozen=True)
class Scheduler:
    """A running Airflow.

    Attributes:
        url: where it is.
        token: for its API.
    """

    url: str
    token: str

    def call(self, path: str, method: str = "GET", body: Any = None) -> dict[str, Any]:
        """One request to the API, below its version.

        On SQLite, Airflow refuses one that comes while a task writes: it logs who asked without
        letting go of the thread in which the task's write would end, until its wait for the lock
        is over. Nothing is done then, and a user would ask again.
        """
        for attempt in Retrying(
            stop=stop_after_attempt(3), retry=retry_if_exception(_is_locked), reraise=True
        ):
            with attempt:
                return call(f"{self.url}/api/v2/{path}", self.token, method, body)
        raise AssertionError  # Retrying has returned or raised.

    def unpause(self, dag_id: str) -> None:
        """Switch a DAG on."""
        self.call(f"dags/{dag_id}", "PATCH", {"is_paused": False})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The runs of a DAG."""
        found: list[dict[str, Any]] = self.call(f"dags/{dag_id}/dagRuns")["dag_runs"]
        return found

    def last_run(self, dag_id: str) -> dict[str, Any]:
        """The youngest run of a DAG, which must have one that this Airflow scheduled."""
        runs = [run for run in self.runs(dag_id) if run["run_type"] != "manual"]
        assert runs, f"{dag_id} has not run"
        return max(runs, key=lambda run: str(run["queued_at"]))

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The state of each task of a run."""
        found = self.call(f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances?limit=200")
        return {task["task_id"]: task["state"] for task in found["task_instances"]}

    def log(self, dag_id: str, run_id: str, task_id: str, *, tries: int) -> str:
        """What a try of a task has logged."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}/logs/{tries}"
        return json.dumps(self.call(f"{path}?full_content=true")["content"])


def _is_locked(error: BaseException) -> bool:
    """Whether the API waited in vain for Airflow's database."""
    return isinstance(error, TimeoutError) or (isinstance(error, HTTPError) and error.code == 500)


@contextmanager
def scheduler(variables: Mapping[str, str]) -> Iterator[Scheduler]:
    """Start Airflow for the settings of ``airflow_environment`` and stop it afterwards."""
    try:
        up = _orchestration("up", variables)
        assert up.returncode == 0, up.stderr
        url = variables["AIRFLOW__API__BASE_URL"]
        login = {"username": AIRFLOW_USER, "password": local_airflow.password(variables)}
        yield Scheduler(url, call(f"{url}/auth/token", "", "POST", login)["access_token"])
    finally:
        _orchestration("down", variables)


def _orchestration(command: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    settings = {name: text for name, text in variables.items() if name.startswith("FIRN_")}
    settings.pop("FIRN_HEADLESS", None)
    return subprocess.run(
        [sys.executable, "-m", "include.commands", command],
        cwd=REPOSITORY,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
