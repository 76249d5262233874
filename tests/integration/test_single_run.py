"""Runs without a scheduler that are interrupted, orphaned, killed, or cannot begin."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.airflow.environment import airflow_environment
from include.orchestration import single_run
from include.orchestration.single_run import run_dag
from include.project.manifest import manifest_path
from include.project.paths import REPOSITORY
from include.warehouse.connection import ConnectionSettings
from tests.conftest import free_port
from tests.prepared_airflow import prepare

pytestmark = pytest.mark.integration

DAG = '''
"""An airflow dag of two tasks; the second runs whatever became of the first."""
import os, pathlib, signal, time
import pendulum
from airflow.sdk import DAG, get_current_context, task
from airflow.task.trigger_rule import TriggerRule

HERE = pathlib.Path(os.environ["FIRN_HOME"])

with DAG(
    dag_id="test__two__never",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    params={"kill": False},
):

    @task
    def first():
        (HERE / "first").touch()
        if get_current_context()["params"]["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def second():
        (HERE / "second").touch()

    first() >> second()
'''

LISTING = '''
"""An airflow dag that lists models of a project whose folder is empty."""
import os, pathlib, shutil
import pendulum
from airflow.sdk import DAG, task

HERE = pathlib.Path(os.environ["FIRN_HOME"])

with DAG(
    dag_id="test__list__never", schedule=None, start_date=pendulum.datetime(2025, 1, 1, tz="UTC")
):

    @task
    def listed():
        from cosmos.dbt.runner import get_runner
        from include.project.paths import dbt_project

        project = HERE / "project"
        project.mkdir(exist_ok=True)
        for name in ("dbt_project.yml", "profiles.yml"):
            shutil.copy(dbt_project() / name, project)
        found = get_runner().invoke([
            *("ls", "--select", "mart_orders", "--resource-type", "model", "--project-dir"),
            *(str(project), "--profiles-dir", str(project), "--log-path", str(HERE / "dbt-log")),
        ])
        (HERE / "listed").write_text(f"{found.result} {os.getppid()}")

    listed()
'''


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    home = tmp_path_factory.mktemp("firn")
    (home / "dags").mkdir()
    (home / "dags" / "two.py").write_text(DAG)
    (home / "dags" / "list.py").write_text(LISTING)
    (home / "dags" / "broken.py").write_text("# airflow dag\nraise ValueError('not today')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRN_AIRFLOW_PORT", str(free_port()))
        made = airflow_environment(headless=True, settings=ConnectionSettings(firn_home=home))
    prepare(made)
    yield made | {"AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags")}
    single_run.close()


def marks(variables: dict[str, str]) -> set[str]:
    return {name for name in ("first", "second") if Path(variables["FIRN_HOME"], name).exists()}


@pytest.fixture(autouse=True)
def no_marks(variables: dict[str, str]) -> None:
    for name in ("first", "second"):
        Path(variables["FIRN_HOME"], name).unlink(missing_ok=True)


def test_a_run_that_is_killed_says_so_and_the_next_one_runs(variables: dict[str, str]) -> None:
    killed = run_dag("test__two__never", variables, conf={"kill": True})
    assert not killed.succeeded
    assert killed.last_lines(1) == ["The run was ended by SIGKILL."]
    missing = run_dag("test__none__never", variables)
    assert not missing.succeeded
    said = "\n".join(missing.last_lines(10))
    assert "There is no DAG test__none__never, or its file cannot be read." in said
    assert "not today" in said


def test_a_run_ends_with_the_program_that_asked_for_it(variables: dict[str, str]) -> None:
    program = (
        "import json, os, sys; from include.orchestration.single_run import run_dag;"
        "run_dag('test__two__never', json.loads(sys.argv[1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(variables)], cwd=REPOSITORY
    )
    try:
        for attempt in Retrying(stop=stop_after_delay(120), wait=wait_fixed(0.2), reraise=True):
            with attempt:
                assert "first" in marks(variables)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    began = time.monotonic()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert time.monotonic() - began < 30
    assert "second" not in marks(variables)


def test_the_project_is_parsed_once_and_another_one_anew(variables: dict[str, str]) -> None:
    listed = Path(variables["FIRN_HOME"], "listed")
    stamp = manifest_path(variables).with_name("fingerprint")
    parsed, servers = stamp.read_text(), []
    # The last one stays: the next test needs no third process then.
    for written in (parsed, parsed, f"{parsed} of another project"):
        stamp.write_text(written)
        done = run_dag("test__list__never", variables)
        assert done.succeeded, "\n".join(done.last_lines(20))
        found, _, parent = listed.read_text().rpartition(" ")
        assert found == "['firn.mart.tpch.mart_orders']"
        servers.append(parent)
    assert servers[0] == servers[1] != servers[2]


def test_an_interrupted_run_ends_with_all_it_started(variables: dict[str, str]) -> None:
    family: list[psutil.Process] = []

    def interrupt(task: str) -> None:
        assert task == "first"
        # Leaves out what other tests of this process have started, such as a warehouse.
        (runner,) = single_run._running.values()
        server = psutil.Process(runner.pid)
        family.extend([server, *server.children(recursive=True)])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_dag("test__two__never", variables, on_task=interrupt)
    assert len(family) >= 2
    assert not [one for one in family if one.is_running() and one.status() != "zombie"]
    assert "second" not in marks(variables)
