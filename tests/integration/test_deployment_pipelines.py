"""Deployments that pause the DAGs of a real Airflow; without its scheduler nothing runs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import httpx
import pytest
from rich.console import Console
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.airflow.environment import airflow_environment
from include.commands import deployment as commands
from include.core.settings import REPOSITORY
from include.delivery.deployment import checks, databases, pipelines
from include.delivery.deployment.dbt import DeployedProject
from include.delivery.deployment.errors import DeploymentError
from include.delivery.deployment.pipelines import Pipelines
from include.delivery.deployment.records import Book
from include.delivery.deployment.run import Wanted, deploy, roll_back
from include.delivery.deployment.settings import DeploymentSettings
from include.warehouse.connection import ConnectionSettings
from tests.conftest import free_port, start_warehouse
from tests.integration import small_project
from tests.integration.small_project import SHAS
from tests.prepared_airflow import prepare

pytestmark = pytest.mark.integration

PASSWORD = "made-up-word"
DAG = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
for name, tag in dict(orders="dbt", watch="monitoring", resting="dbt", mail="other").items():
    with DAG(dag_id=name, schedule=None, tags=[tag]):
        EmptyOperator(task_id="load")
"""


class Airflow:
    """What stands in Airflow's database, by which the API is checked."""

    def __init__(self, home, url):
        self.url, self._file = url, home / "airflow" / "airflow.db"

    def sql(self, statement):
        with closing(sqlite3.connect(self._file, timeout=20)) as connection, connection:
            return connection.execute(statement).fetchall()

    def running(self):
        return {name for (name,) in self.sql("select dag_id from dag where not is_paused")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    running = start_warehouse(tmp_path_factory.mktemp("paused"))
    with running.connect(database="RAW") as connection, connection.cursor() as cursor:
        for statement in (
            *(f"create role FIRN_{role}" for role in ("REPORTER", "CI", "DEVELOPER")),
            "create role FIRN_TRANSFORMER",
            "create schema RAW.SMALL",
            "create table RAW.SMALL.EVENTS as select seq4() as id, sysdate() as loaded_at"
            " from table(generator(rowcount => 5))",
            "create database if not exists ANALYTICS_STAGING",
        ):
            cursor.execute(statement)
    yield running
    running.process.stop()


@pytest.fixture(scope="module")
def airflow(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRN_AIRFLOW_PORT", str(free_port()))
        variables = airflow_environment(settings=place.settings())
    folder = place.home / "airflow"
    (folder / "dags").mkdir()
    (folder / "dags" / "small.py").write_text(DAG)
    (folder / "passwords.json").write_text(json.dumps({"deployer": PASSWORD, "reader": PASSWORD}))
    variables |= {
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "deployer:op,reader:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
    }
    prepare(variables)
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "reserialize"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    url = variables["AIRFLOW__API__BASE_URL"]
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server"],
            env=variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as server,
    ):
        try:
            for attempt in Retrying(stop=stop_after_delay(90), wait=wait_fixed(0.5), reraise=True):
                with attempt:
                    httpx.get(f"{url}/api/v2/version", trust_env=False).raise_for_status()
            found = Airflow(place.home, url)
            # A task that runs, as a worker would have entered it.
            login = {"username": "deployer", "password": PASSWORD}
            token = httpx.post(f"{url}/auth/token", json=login, trust_env=False).json()
            httpx.post(
                f"{url}/api/v2/dags/orders/dagRuns",
                json={"logical_date": None},
                headers={"Authorization": f"Bearer {token['access_token']}"},
                trust_env=False,
            ).raise_for_status()
            yield found
        finally:
            os.killpg(server.pid, signal.SIGTERM)


@contextmanager
def rehearsed(place, airflow, project):
    """The environment of a deployment, with all but one DAG on and no task running."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "DBT_PROJECT_DIR": str(project),
            "FIRN_HOME": str(place.home),
            "FIRN_LOCAL_PORT": str(place.port),
            "FIRN_TARGET": "prod",
            "SNOWFLAKE_ACCOUNT": "local",
            "FIRN_AIRFLOW_URL": airflow.url,
            "FIRN_AIRFLOW_USER": "deployer",
            "FIRN_AIRFLOW_PASSWORD": PASSWORD,
        }.items():
            patch.setenv(name, value)
        patch.setattr(DeployedProject, "_run", small_project.run_in_process)
        patch.setattr(pipelines, "LOOK_SECONDS", 0.2)
        small_project.write(project, version=1)
        airflow.sql("update dag set is_paused = (dag_id = 'resting')")
        airflow.sql("update task_instance set state = 'success'")
        yield ConnectionSettings()


@pytest.fixture(scope="module")
def first(place, airflow, tmp_path_factory):
    """The one deployment there is: what it said, and what ran meanwhile and afterwards."""
    project = tmp_path_factory.mktemp("first")
    with rehearsed(place, airflow, project) as settings, pytest.MonkeyPatch.context() as patch:
        airflow.sql("update task_instance set state = 'running'")
        said, seen = [], []
        waits = threading.Event()

        def say(text):
            said.append(text)
            if text == "Waiting for orders.load":
                seen.append(airflow.running())
                waits.set()

        def end_task():
            assert waits.wait(120)
            airflow.sql("update task_instance set state = 'success'")

        ending = threading.Thread(target=end_task, daemon=True)
        ending.start()
        seen_while_checking(patch, lambda: seen.append(airflow.running()))
        done = deploy(Wanted(SHAS[0]), settings, say=say)
        ending.join(5)
        return done, said, seen, airflow.running(), Book(settings).paused()


@pytest.fixture
def settings(place, airflow, first, tmp_path, clean_environment):
    with rehearsed(place, airflow, tmp_path) as settings:
        yield settings


def seen_while_checking(monkeypatch, look):
    real = checks.problems

    def problems(*arguments, **named):
        look()
        return real(*arguments, **named)

    monkeypatch.setattr(checks, "problems", problems)


ALL = {"orders", "watch", "mail"}


def test_paused_while_it_is_built_and_resumed(first):
    done, said, seen, running, paused = first
    assert done.left is None
    assert seen == [{"mail"}, {"mail"}], "while it waits, and while it builds"
    assert running == ALL, "the one that rested before still does"
    assert said.index("Paused orders, watch") < said.index("Waiting for orders.load")
    assert said.count("Resumed orders, watch") == 1
    assert paused == []


def test_resumed_after_a_refusal(settings, airflow, monkeypatch):
    def refuse(*_):
        assert airflow.running() == {"mail"}
        raise DeploymentError("Refused.")

    monkeypatch.setattr(databases, "clone_production", refuse)
    with pytest.raises(DeploymentError, match=r"Refused\."):
        deploy(Wanted(SHAS[1]), settings)
    assert airflow.running() == ALL
    with pytest.raises(DeploymentError, match="nothing to go back to"):
        roll_back(settings)
    assert airflow.running() == ALL


def test_tasks_that_go_on_for_too_long(settings, airflow, monkeypatch):
    airflow.sql("update task_instance set state = 'queued'")
    monkeypatch.setattr(pipelines, "WAIT_SECONDS", 0.1)
    book = Book(settings)
    with (
        pytest.raises(DeploymentError, match=r"go on after .* \(orders\.load\): let them end"),
        book.alone(),
        Pipelines(DeploymentSettings().airflow, book, print) as ours,
    ):
        ours.pause()
    assert airflow.running() == ALL


def test_one_that_lost_the_lock_leaves_resuming_to_the_other(settings, airflow):
    book = Book(settings)
    with book.alone(), Pipelines(DeploymentSettings().airflow, book, print) as slow:
        slow.pause()
        book.unlock(force=True)
        with Book(settings).alone():
            slow.__exit__(None, None, None)
            assert airflow.running() == {"mail"}
    slow.resume()


def test_what_a_killed_one_left_paused(settings, airflow, monkeypatch, capsys):
    program = (
        "import os, signal\n"
        "from include.delivery.deployment import pipelines, records, settings\n"
        "from include.warehouse.connection import get_settings\n"
        "book = records.Book(get_settings())\n"
        "with book.alone():\n"
        "    airflow = settings.DeploymentSettings().airflow\n"
        "    with pipelines.Pipelines(airflow, book, print) as ours:\n"
        "        ours.pause()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert airflow.running() == {"mail"}

    monkeypatch.setattr(commands, "console", Console(soft_wrap=True))
    monkeypatch.setattr(commands, "errors", Console(stderr=True, soft_wrap=True))
    commands.status()
    said = capsys.readouterr()
    assert "Paused by a deployment: orders, watch. If none is in progress, `unlock`" in said.out
    with pytest.raises(DeploymentError, match="seconds ago, so it is alive: wait for it"):
        commands.unlock()
    assert airflow.running() == {"mail"}
    commands.unlock(force=True)
    said = capsys.readouterr().out
    assert "Its lock is released." in said
    assert "Still paused by an earlier deployment: orders, watch" in said
    assert airflow.running() == ALL
    assert Book(settings).paused() == []


def test_what_cannot_be_resumed_is_said_and_the_next_one_does_it(settings, airflow):
    book, said = Book(settings), list[str]()
    with book.alone(), Pipelines(DeploymentSettings().airflow, book, said.append) as ours:
        ours.pause()
        away = DeploymentSettings(firn_airflow_url=f"http://127.0.0.1:{free_port()}").airflow
        ours.airflow = away
    assert ours.left
    assert ours.left.startswith("Still paused: orders, watch. Airflow does not answer at http://")
    assert "unlock" in ours.left
    assert Book(settings).paused() == ["orders", "watch"]
    # The commit is in production already: nothing is built, and yet they are resumed.
    done = deploy(Wanted(SHAS[0]), settings, say=said.append)
    assert "nothing was built" in done.message
    assert "Still paused by an earlier deployment: orders, watch" in said
    assert airflow.running() == ALL


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"FIRN_AIRFLOW_PASSWORD": "another-word"},
            r"refused the login \(401\): correct FIRN_AIRF",
        ),
        ({"FIRN_AIRFLOW_USER": "", "FIRN_AIRFLOW_PASSWORD": ""}, r"refused the login \(403\)"),
        ({"FIRN_AIRFLOW_USER": "reader"}, r"answered 403 to PATCH api/v2/dags/orders: let FIRN"),
    ],
    ids=["wrong password", "no user", "may only read"],
)
def test_who_may_not(settings, airflow, changed, sentence):
    # Taken back before the environment of `settings` is: else these would be left to other tests.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changed.items():
            patch.setenv(name, value)
        with pytest.raises(DeploymentError, match=sentence) as caught:
            deploy(Wanted(SHAS[1]), settings, say=pytest.fail)
    assert "-word" not in str(caught.value)
    assert airflow.running() == ALL
