"""A real `make up`: who can log in, what a locked database does, and parts that are killed."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from rich.console import Console
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.airflow import local as local_airflow
from include.airflow.environment import (
    AIRFLOW_USER,
    airflow_environment,
    airflow_passwords,
)
from include.airflow.local import COMPONENTS, SUPERVISOR
from include.commands import doctor
from include.monitoring.site import build_report
from include.warehouse.connection import REPOSITORY, ConnectionSettings
from tests.chromium import chromium
from tests.conftest import free_port
from tests.prepared_airflow import prepare

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DAG = "tpch__orders__4h"
SQLITE_DEFAULT_SECONDS = 5
LOCKED_SECONDS = 3 * SQLITE_DEFAULT_SECONDS


@dataclass(frozen=True)
class Up:
    """An Airflow that `make up` has started.

    Attributes:
        environment: what the command was given.
        said: what it printed.
        client: sends requests to this Airflow.
    """

    environment: dict[str, str]
    said: str
    client: httpx.Client

    @property
    def password(self) -> str:
        return local_airflow.password(self.environment)

    @property
    def runs(self) -> int:
        """How many DAG runs the database holds."""
        file = Path(self.environment["FIRN_HOME"]) / "airflow" / "airflow.db"
        with closing(sqlite3.connect(file, timeout=60)) as connection:
            [(count,)] = connection.execute("select count(*) from dag_run").fetchall()
        return int(count)

    def command(self, name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "include.commands", name],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def pid(self, name: str) -> int | None:
        found = local_airflow.process(name, self.environment)
        return found.pid if found else None

    def pids(self) -> dict[str, int | None]:
        return {name: self.pid(name) for name in (*COMPONENTS, SUPERVISOR)}

    def family(self) -> set[psutil.Process]:
        """Its parts and all processes that they have started."""
        return {
            one
            for pid in self.pids().values()
            if pid
            for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
        }

    def doctor(self) -> tuple[int, str]:
        """The exit code, and the lines about Airflow and about all that is missing."""
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            code = doctor.doctor(Console(file=output, width=200))
        assert self.password not in output.getvalue()
        lines = output.getvalue().splitlines()
        return code, "\n".join(one for one in lines if "Airflow" in one or "missing" in one)

    def login(self, password: str | None = None) -> httpx.Response:
        body = {"username": AIRFLOW_USER, "password": password or self.password}
        return self.client.post("/auth/token", json=body)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    home, port = tmp_path_factory.mktemp("up"), free_port()
    own = {
        "FIRN_HOME": str(home),
        "FIRN_LOCAL_PORT": str(free_port()),
        "FIRN_AIRFLOW_PORT": str(port),
        "FIRN_AIRFLOW_HOSTS": "airflow.internal",
        "FIRN_DEMO_SCALE": "0.01",
        "FIRN_USER": "test",
        # As if somebody had set this for another Airflow; it must have no effect.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    environment = os.environ | own
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        prepare(airflow_environment())
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        airflow = Up(environment, "", client)
        try:
            made = airflow.command("up")
            assert made.returncode == 0, made.stderr
            yield Up(environment, made.stdout, client)
        finally:
            airflow.command("down")
    assert not local_airflow.runs(environment)


@pytest.fixture
def up(started: Up) -> Up:
    """All of it runs, also where a test before has ended a part."""
    if None in started.pids().values():
        again = started.command("up")
        assert again.returncode == 0, again.stderr
    return started


# -- who can log in --------------------------------------------------------------------------------


def test_what_forks_for_tasks_and_dag_files_has_imported_what_they_need(up: Up) -> None:
    has = {
        name: "snowflake/connector" in Path(f"/proc/{up.pid(name)}/maps").read_text()
        for name in COMPONENTS
    }
    assert has.pop("scheduler")
    assert has.pop("dag-processor")
    workers = [
        one
        for one in psutil.Process(up.pid("scheduler")).children()
        if "LocalExecutor" in " ".join(one.cmdline())
    ]
    assert workers
    for one in workers:
        assert "snowflake/connector" in Path(f"/proc/{one.pid}/maps").read_text()
    # It would need the memory for nothing.
    assert not has["api-server"]


def test_up_prints_a_login_of_this_installation_that_nobody_else_can_read(up: Up) -> None:
    address = f"http://127.0.0.1:{up.environment['FIRN_AIRFLOW_PORT']}"
    assert f"{address}  (user {AIRFLOW_USER}, password {up.password})" in up.said
    assert len(up.password) >= 16
    file = airflow_passwords(up.environment)
    assert file.stat().st_mode & 0o777 == 0o600
    logs = Path(up.environment["FIRN_HOME"]) / "logs"
    assert not [log for log in logs.rglob("*.log") if up.password in log.read_text()]


def test_every_part_listens_on_this_machine_alone(up: Up) -> None:
    listening = set()
    for one in up.family():
        # Some of them end while this loop runs.
        with suppress(psutil.NoSuchProcess):
            listening |= {
                connection.laddr.ip
                for connection in one.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
    assert listening == {"127.0.0.1"}


REFUSED: tuple[tuple[dict[str, str], int], ...] = (
    ({}, 401),
    ({"Authorization": "Bearer made.up.token"}, 403),
    ({"Cookie": "_token=made.up.token"}, 403),
    ({"Host": "evil.example"}, 403),
    ({"Host": "evil.example:8080"}, 403),
    ({"Host": "127.0.0.1.evil.example"}, 403),
    ({"Host": "user@127.0.0.1"}, 403),
    ({"Host": ""}, 403),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    # A page of another program on this machine.
    ({"Origin": "http://127.0.0.1:3000"}, 403),
)


def test_what_is_refused_needs_no_database_and_parts_survive_its_lock(up: Up) -> None:
    """Without the login or from elsewhere nothing is read and nothing is started."""
    parts, runs, held = up.pids(), up.runs, threading.Event()

    def hold() -> None:
        file = Path(up.environment["FIRN_HOME"]) / "airflow" / "airflow.db"
        with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as connection:
            connection.execute("begin exclusive")
            held.set()
            # Longer than SQLite waits.
            time.sleep(LOCKED_SECONDS)
            connection.execute("rollback")

    lock = threading.Thread(target=hold)
    lock.start()
    assert held.wait(70)
    for headers, status in REFUSED:
        assert up.client.get("/api/v2/dags", headers=headers).status_code == status, headers
        run = {"logical_date": None}
        made = up.client.post(f"/api/v2/dags/{DAG}/dagRuns", json=run, headers=headers)
        assert made.status_code == status, headers
        if {"Host", "Origin"} & set(headers):
            # Neither the page nor the API that tasks talk to is open to it.
            for page in ("/", "/execution/health"):
                assert up.client.get(page, headers=headers).status_code == 403, headers
    assert up.login("made-up-word").status_code == 401
    assert up.client.get("/auth/token").status_code == 403
    assert lock.is_alive()
    lock.join()
    assert up.runs == runs
    time.sleep(2)
    assert None not in parts.values()
    assert up.pids() == parts


def test_a_login_gives_a_token_and_a_session_that_other_sites_cannot_use(up: Up) -> None:
    token = up.login().json()["access_token"]
    session = {"Cookie": f"_token={token}"}
    path, run = f"/api/v2/dags/{DAG}/dagRuns", {"logical_date": None}

    def parsed() -> None:
        dag = up.client.get(f"/api/v2/dags/{DAG}", headers={"Authorization": f"Bearer {token}"})
        assert dag.status_code == 200

    Retrying(stop=stop_after_delay(180), wait=wait_fixed(1), reraise=True)(parsed)
    before = up.runs
    for origin in ("http://evil.example", "null"):
        refused = up.client.post(path, json=run, headers=session | {"Origin": origin})
        assert refused.status_code == 403
    assert up.runs == before

    own = str(up.client.base_url).rstrip("/")
    for count, headers in enumerate(
        (
            {"Authorization": f"Bearer {token}"},
            session | {"Origin": own},
            # A name that was allowed, such as that of a tunnel's other end.
            session | {"Host": "airflow.internal:9000", "Origin": "http://airflow.internal:9000"},
        ),
        start=1,
    ):
        started = up.client.post(path, json=run, headers=headers)
        assert started.status_code == 200, started.text
        assert up.runs == before + count


def test_a_browser_logs_in_and_a_form_of_another_site_changes_nothing(
    up: Up, tmp_path: Path
) -> None:
    own = str(up.client.base_url).rstrip("/")

    class OtherSite(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(
                f"<form method=post action='{own}/api/v2/dags/{DAG}/dagRuns'></form>".encode()
            )

        def log_message(self, *_: object) -> None:
            pass

    with (
        chromium(tmp_path) as browser,
        ThreadingHTTPServer(("127.0.0.1", 0), OtherSite) as other,
    ):
        threading.Thread(target=other.serve_forever, daemon=True).start()
        waiting = Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.3), reraise=True)

        def fill_in() -> None:
            user, password = browser.driver.find_elements("css selector", "input")
            user.send_keys(AIRFLOW_USER)
            password.send_keys(up.password + "\n")

        def shown() -> None:
            asked = "return (await fetch('/api/v2/dags?limit=1')).status"
            assert browser.run(asked) == 200

        browser.driver.get(f"{own}/")
        waiting(fill_in)
        waiting(shown)
        assert browser.driver.get_cookie("_token")
        before = up.runs
        # The browser sends the cookie, because another port counts as the same site.
        browser.driver.get(f"http://127.0.0.1:{other.server_port}/")
        browser.run("document.forms[0].submit()")

        def refused() -> None:
            assert "A page of another site" in browser.driver.page_source

        waiting(refused)
        other.shutdown()
    assert up.runs == before


# -- parts that end --------------------------------------------------------------------------------


def wait_for_another(up: Up, name: str, pid: int) -> int:
    for attempt in Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.05), reraise=True):
        with attempt:
            found = up.pid(name)
            assert found not in (None, pid)
    assert found
    return found


def starts_of_the_scheduler(up: Up) -> int:
    log = local_airflow.log_file("scheduler", up.environment).read_text(errors="replace")
    return log.count("Starting the scheduler")


def test_a_killed_scheduler_is_started_again_and_its_children_end(up: Up) -> None:
    starts = starts_of_the_scheduler(up)
    pid = up.pid("scheduler")
    assert pid
    children = psutil.Process(pid).children(recursive=True)
    os.kill(pid, signal.SIGKILL)
    new = wait_for_another(up, "scheduler", pid)
    assert not [child for child in children if child.is_running()]

    def well() -> None:
        found, text = up.doctor()
        assert found == 0, text
        assert "scheduler ended at " in text, text

    Retrying(stop=stop_after_delay(120), wait=wait_fixed(1), reraise=True)(well)
    assert up.pid("scheduler") == new

    def continued() -> None:
        assert starts_of_the_scheduler(up) == starts + 1

    Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.5), reraise=True)(continued)


def test_a_part_that_always_ends_is_given_up_until_up_starts_it_and_doctor_and_report_say_so(
    up: Up, tmp_path: Path
) -> None:
    pid = up.pid("triggerer")
    assert pid
    os.kill(pid, signal.SIGKILL)
    pid = wait_for_another(up, "triggerer", pid)
    # The first end counts as quick only if it came soon after make up.
    known = json.loads(local_airflow.parts_file(up.environment).read_text())
    seen = ""
    for end in range(known["triggerer"]["quick"] + 1, 6):
        os.kill(pid, signal.SIGKILL)
        if end == 4:
            _, seen = up.doctor()
        if end < 5:
            pid = wait_for_another(up, "triggerer", pid)
    assert "Airflow's triggerer has ended" in seen
    assert "It will be started again in a moment" in seen
    sentence = (
        "Airflow's triggerer ended 5 times in a row within 60 seconds of its start and is not "
        "started again"
    )

    def told() -> None:
        log = local_airflow.log_file(SUPERVISOR, up.environment).read_text()
        assert sentence in log

    Retrying(stop=stop_after_delay(30), wait=wait_fixed(0.5), reraise=True)(told)
    code, text = up.doctor()
    assert code == 2
    assert f"missing  {sentence}" in text
    assert up.pid("triggerer") is None

    with pytest.MonkeyPatch.context() as patch:
        for name, value in up.environment.items():
            patch.setenv(name, value)
        made = build_report(tmp_path / "report", ConnectionSettings(), with_dbt_docs=False)
    assert any(sentence in one for one in made.airflow)
    assert sentence in made.index.read_text().replace("&#39;", "'")

    # As is the supervisor, if that was killed.
    before = up.pids()
    supervisor = before[SUPERVISOR]
    assert supervisor
    os.kill(supervisor, signal.SIGKILL)
    code, text = up.doctor()
    assert code == 2
    assert "Airflow's supervisor has ended" in text

    again = up.command("up")
    assert again.returncode == 0, again.stderr
    after = up.pids()
    assert None not in after.values()
    unchanged = {"api-server", "scheduler", "dag-processor"}
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    code, text = up.doctor()
    assert code == 0, text
    assert "all its parts are healthy" in text


def test_down_ends_all_of_it(up: Up) -> None:
    family = up.family()
    assert family
    down = up.command("down")
    assert f"Stopped Airflow ({SUPERVISOR}, api-server" in down.stdout
    assert not [one for one in family if one.is_running()]
    assert "Airflow is not running: `make up` starts it" in up.doctor()[1]
    # The PID files and the record of killed parts are gone too.
    assert not list((Path(up.environment["FIRN_HOME"]) / "run").glob("airflow-*"))
