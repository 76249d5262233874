"""Single runs of DAGs through Airflow, without a scheduler.

Each run does what ``airflow dags test`` does, and records how each task ended. For such a run, DAG
files place the dbt producer before the models' tasks (see ``dbt_task_group``).

Importing Airflow, Cosmos, dbt and the connector takes longer than running a small pipeline. So one
process imports them once and forks for every run. It lives as long as the program that asked for
the first run, or until a run asks for another environment.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import psutil  # type: ignore[import-untyped]

from include.airflow.environment import PRELOADED
from include.core.logs import hide_secrets_in_process
from include.project.builds import PRODUCER, BuildLog, NodeResult, builds_folder
from include.project.manifest import parse_arguments, parse_folder, parsed_fingerprint
from include.project.paths import REPOSITORY, firn_home

if TYPE_CHECKING:
    from airflow.sdk import DAG

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 3
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
            task.endswith(PRODUCER) and state not in {"upstream_failed", "skipped"}
            for task, state in self.tasks.items()
        )

    @property
    def unchanged(self) -> bool:
        """Whether there was nothing to build."""
        return any(
            task.endswith(PRODUCER) and state == "skipped" for task, state in self.tasks.items()
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
    log.write_bytes(b"")
    build = BuildLog(builds_folder(dag_id, variables))
    began = time.monotonic()
    process = _runner(variables, log)
    request = {"dag_id": dag_id, "conf": dict(conf or {}), "outcome": str(outcome), "log": str(log)}
    try:
        with log.open(errors="replace") as printed:
            _send(process, request)
            running = True
            while running:
                running = not _answered(process)
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


_running: dict[str, subprocess.Popen[str]] = {}
"""The one process that waits for runs; its key is the environment it was started with."""

_IMPORTING = "importing "
"""Before the key of a process that was started before there was anything to read."""


def start_importing(variables: Mapping[str, str]) -> None:
    """Start the process for the first run early; it imports Airflow and dbt, and waits.

    It reads neither the dbt project nor Airflow's database before the run, so `prepare` may work on
    them meanwhile.

    Args:
        variables: the environment that `run_dag` will be called with.
    """
    if not _running:
        log = firn_home(variables) / "logs" / "start.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        _running[_IMPORTING + json.dumps(sorted(variables.items()))] = _start(variables, log)


def _runner(variables: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    """The process that forks for each run in this environment; started if there is none.

    Args:
        variables: its environment.
        log: where it prints until its first run begins, for example why it cannot start.
    """
    settings = json.dumps(sorted(variables.items()))
    # It parses the dbt project once, and another project needs another process.
    environment = parsed_fingerprint(variables) + settings
    known = _running.get(environment) or _running.pop(_IMPORTING + settings, None)
    if known and known.poll() is None:
        _running[environment] = known
        return known
    close()
    _running[environment] = _start(variables, log)
    return _running[environment]


def _start(variables: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", __name__],
            env=variables,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            # Ctrl-C in the terminal is meant for this program, which then ends the run. Airflow
            # would treat it as the failure of one task and continue with the next one.
            start_new_session=True,
        )


def close() -> None:
    """End the process that waits for runs, if there is one."""
    while _running:
        _, process = _running.popitem()
        _terminate(process)


def _send(process: subprocess.Popen[str], request: Mapping[str, Any]) -> None:
    stdin = cast("TextIO", process.stdin)
    # If the process could not start, the log says why.
    with suppress(BrokenPipeError):
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()


def _answered(process: subprocess.Popen[str]) -> bool:
    """Whether the run has ended; waits for a moment."""
    stdout = cast("TextIO", process.stdout)
    readable, _, _ = select.select([stdout], [], [], POLL_SECONDS)
    if readable:
        stdout.readline()
    return bool(readable)


def _terminate(process: subprocess.Popen[str]) -> None:
    """End a process and what it started."""
    with suppress(psutil.NoSuchProcess):
        _end(psutil.Process(process.pid))
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):
                pipe.close()


def _end(process: psutil.Process) -> None:
    """End a process and what it started.

    A run is asked to end before it is killed. It seldom does, because Airflow waits for its task.
    """
    family = [process, *process.children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
    for one in alive:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(alive, timeout=PATIENCE_SECONDS)


def _begun(printed: TextIO) -> Iterator[str]:
    """The tasks that began since the last call."""
    for line in printed:
        if found := _BEGIN.search(line):
            yield found[1]


# -- the process that forks ------------------------------------------------------------------------

IMPORTED = (
    "airflow.api_fastapi.execution_api.app",
    "airflow.dag_processing.dagbag",
    "airflow.utils.cli",
    "include.ingestion.loader",
    "include.orchestration.dbt_tasks",
    "include.orchestration.ingestion_tasks",
    PRELOADED,
    "include.monitoring.run_summary",
)


def _serve() -> None:
    """Fork for each request on standard input; report on standard output when the run has ended."""
    hide_secrets_in_process()
    answers = os.fdopen(os.dup(1), "w")
    # Standard output carries answers, so anything that an import prints goes to standard error.
    os.dup2(2, 1)
    logging.getLogger("airflow.task").setLevel(logging.INFO)
    for module in IMPORTED:
        importlib.import_module(module)
    dags: dict[str, DAG] = {}
    unreadable: dict[str, str] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if not dags:
            # Not before the first request, as all of this may be made meanwhile.
            with _printing_to(Path(request["log"])):
                _build_api()
                _parse_project()
                dags, unreadable = _read_dags()
            # Memory pages that the garbage collector touches are no longer shared with the runs.
            gc.freeze()
        child = os.fork()
        if child == 0:
            _run_and_exit(dags, unreadable, request)
        _wait_for(child, Path(request["log"]))
        print("ended", file=answers, flush=True)


@contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """What is printed to standard error goes to a log; also why it ends, if it does."""
    before = os.dup(2)
    with log.open("ab") as output:
        os.dup2(output.fileno(), 2)
    try:
        yield
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)


def _wait_for(child: int, log: Path) -> None:
    """Wait for the end of a run; end it if the program that asked for it ends."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        # No request comes during a run. So if standard input is readable, the program has ended.
        if select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
            _end(psutil.Process(child))
            sys.exit(1)
    if (code := os.waitstatus_to_exitcode(status)) < 0:
        with log.open("a") as printed:
            printed.write(f"The run was ended by {signal.Signals(-code).name}.\n")


def _build_api() -> None:
    """Build the API that tasks talk to: its first request would otherwise take seconds."""
    import httpx
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    async def ask() -> None:
        transport = httpx.ASGITransport(app=in_process_api_server().app)
        async with httpx.AsyncClient(transport=transport, base_url="http://in-process") as client:
            await client.get("/health")

    asyncio.run(ask())


def _parse_project() -> None:
    """Parse the dbt project, so that dbt in the runs need not; Cosmos has no option for that."""
    from cosmos.dbt import runner
    from dbt.cli.main import dbtRunner

    with tempfile.TemporaryDirectory(prefix="firn-parse-") as folder:
        kept = parse_folder() / "target" / "partial_parse.msgpack"
        if kept.exists():
            shutil.copy(kept, folder)
        parsed = dbtRunner().invoke(["--quiet", *parse_arguments(os.environ, Path(folder))])
    if not parsed.success:
        raise RuntimeError("The dbt project cannot be parsed; dbt's messages are above.")

    def parsed_runner(callbacks: list[Callable[..., Any]] | None = None) -> dbtRunner:
        return dbtRunner(manifest=cast("Any", parsed.result), callbacks=callbacks)

    runner.get_runner = parsed_runner


def _read_dags() -> tuple[dict[str, DAG], dict[str, str]]:
    """Every DAG that can be read, and for each other file why it cannot be."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag

    found: dict[str, DAG] = {}
    unreadable: dict[str, str] = {}
    manager = DagBundlesManager()  # type: ignore[no-untyped-call]
    for bundle in manager.get_all_dag_bundles():
        bundle.initialize()
        bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        found |= bag.dags
        unreadable |= bag.import_errors
    return found, unreadable


def _run_and_exit(
    dags: Mapping[str, DAG], unreadable: Mapping[str, str], request: Mapping[str, Any]
) -> None:
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    code = 1
    try:
        dag_id = request["dag_id"]
        if dag_id not in dags:
            reasons = "".join(f"\n{file}: {error}" for file, error in unreadable.items())
            raise LookupError(f"There is no DAG {dag_id}, or its file cannot be read.{reasons}")
        _run_here(dags[dag_id], request["conf"], Path(request["outcome"]))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Skip the exit handlers that the parent has registered for its own end.
        os._exit(code)


def _run_here(dag: DAG, conf: dict[str, Any], outcome: Path) -> None:
    from airflow.listeners.listener import get_listener_manager
    from airflow.providers_manager import ProvidersManager

    ProvidersManager().initialize_providers_configuration()  # type: ignore[no-untyped-call]
    run = dag.test(run_conf=conf)
    # OpenLineage sends a run's events from a process of its own, which would stay behind.
    get_listener_manager().hook.before_stopping(component=run)
    instances = sorted(
        run.get_task_instances(), key=lambda task: (task.start_date is None, task.start_date)
    )
    tasks = {_name(task): str(task.state) for task in instances}
    outcome.write_text(json.dumps({"run_id": run.run_id, "state": str(run.state), "tasks": tasks}))


def _name(task: Any) -> str:
    return task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"


if __name__ == "__main__":
    _serve()
