"""One run of one DAG through Airflow, without a scheduler, in a process of its own.

The process does what ``airflow dags test`` does, and writes down how each task ended. DAG files
render for it with the dbt producer before the models' tasks (see ``dbt_task_group``).
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import psutil  # type: ignore[import-untyped]

from include.logs import hide_secrets_in_process
from include.orchestration.builds import BuildLog, NodeResult, builds_folder
from include.orchestration.environment import REPOSITORY, firn_home

POLL_SECONDS = 0.2
FAILED = "failed"
_END = "[DAG TEST] end task"
_RAISED = re.compile(r"\S*\b\w+(?:Exception|Error): (.+)")
_BEGIN = re.compile(r"\[DAG TEST\] starting task_id=(\S+)")


@dataclass(frozen=True)
class DagRunOutcome:
    """How a run ended.

    Attributes:
        dag_id: the DAG.
        run_id: Airflow's id of the run; empty if Airflow ended before it began.
        state: ``success`` or ``failed``.
        tasks: the state of each task, in the order Airflow ran them.
        seconds: from start to end, Airflow's own start included.
        log: what Airflow and the tasks printed.
    """

    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, str]
    seconds: float
    log: Path

    @property
    def succeeded(self) -> bool:
        """Whether every task that had to succeed did."""
        return self.state == "success"

    @property
    def built(self) -> bool:
        """Whether dbt came to build anything, so that its results are of this run."""
        return any(
            task.endswith("dbt_producer_watcher") and state != "upstream_failed"
            for task, state in self.tasks.items()
        )

    def last_lines(self, count: int) -> list[str]:
        """The end of what the first failed task printed before it failed; of all if none did.

        Tracebacks through Airflow and dbt's log in JSON, which repeats its text, are left out; what
        was raised is the last line.
        """
        lines = self.log.read_text(errors="replace").splitlines()
        for task in self.failed_tasks[:1]:
            inside, raised, section = False, False, []
            for line in lines:
                inside = inside or f"[DAG TEST] starting task_id={task} " in line
                raised = raised or (inside and "Task failed with exception" in line)
                if inside and _END in line:
                    break
                if raised and (found := _RAISED.match(line)):
                    section.append(found[1])
                elif inside and not raised and '{"data": ' not in line:
                    section.append(line)
            lines = section or lines
        return lines[-count:]

    @property
    def failed_tasks(self) -> list[str]:
        """The tasks that failed themselves, not those that were held back by them."""
        return [task for task, state in self.tasks.items() if state == FAILED]


def run_dag(
    dag_id: str,
    variables: Mapping[str, str],
    *,
    conf: Mapping[str, Any] | None = None,
    on_node: Callable[[NodeResult], None] = lambda _: None,
    on_task: Callable[[str], None] = lambda _: None,
) -> DagRunOutcome:
    """Run a DAG once and wait for its end. ``prepare`` must have been called.

    Args:
        dag_id: a DAG of the ``dags`` folder, named after its domain first.
        variables: the environment of ``airflow_environment(headless=True)``.
        conf: values for the DAG's params.
        on_node: called when a dbt node starts and when it ends, in this thread.
        on_task: called with its id when an Airflow task begins, in this thread.
    """
    folder = firn_home(variables) / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    log, outcome = folder / f"{dag_id}.log", folder / f"{dag_id}.json"
    outcome.unlink(missing_ok=True)
    build = BuildLog(builds_folder(dag_id, variables))
    began = time.monotonic()
    command = [sys.executable, "-m", __name__, dag_id, json.dumps(conf or {}), str(outcome)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        with log.open(errors="replace") as printed:
            running = True
            while running:
                time.sleep(POLL_SECONDS)
                running = process.poll() is None
                for task in _begun(printed):
                    on_task(task)
                for node in build.news():
                    on_node(node)
    except BaseException:
        _terminate(process)
        raise
    ended: dict[str, Any] = json.loads(outcome.read_text()) if outcome.exists() else {}
    return DagRunOutcome(
        dag_id=dag_id,
        run_id=ended.get("run_id", ""),
        state=ended.get("state", FAILED),
        tasks=ended.get("tasks", {}),
        seconds=time.monotonic() - began,
        log=log,
    )


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: dbt is in a session of its own and would go on."""
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
        for child in started:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
    process.terminate()
    process.wait()


def _begun(printed: TextIO) -> Iterator[str]:
    """The tasks that began since the last call."""
    for line in printed:
        if found := _BEGIN.search(line):
            yield found[1]


def _run_here(dag_id: str, conf: dict[str, Any], outcome: Path) -> None:
    """The body of the process: Airflow is imported here and nowhere above."""
    from airflow.providers_manager import ProvidersManager
    from airflow.utils.cli import get_bagged_dag

    logging.getLogger("airflow.task").setLevel(logging.INFO)
    ProvidersManager().initialize_providers_configuration()  # type: ignore[no-untyped-call]
    run = get_bagged_dag(None, dag_id).test(run_conf=conf)
    instances = sorted(
        run.get_task_instances(), key=lambda task: (task.start_date is None, task.start_date)
    )
    tasks = {_name(task): str(task.state) for task in instances}
    outcome.write_text(json.dumps({"run_id": run.run_id, "state": str(run.state), "tasks": tasks}))


def _name(task: Any) -> str:
    return task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"


if __name__ == "__main__":
    hide_secrets_in_process()
    _run_here(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]))
