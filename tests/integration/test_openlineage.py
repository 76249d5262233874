"""Lineage events, from real Airflow to a receiver that behaves well and badly."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import psutil  # type: ignore[import-untyped]
import pytest
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.uuid import generate_new_uuid
from structlog.testing import capture_logs

from include.airflow.environment import airflow_environment
from include.orchestration import lineage, single_run
from include.orchestration.lineage import PausingHttpTransport
from include.orchestration.single_run import DagRunOutcome, run_dag
from include.warehouse.connection import ConnectionSettings
from tests.conftest import free_port
from tests.prepared_airflow import prepare

pytestmark = pytest.mark.integration

KEY = "made-up-receiver-key"


class Receiver(ThreadingHTTPServer):
    """An OpenLineage receiver on this machine.

    Attributes:
        manner: how it answers: ok, error, silent, or dripping (a byte now and then, for ever).
        events: what it got.
        keys: the Authorization header of each.
    """

    daemon_threads = True

    def __init__(self, manner: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manner = manner
        self.events: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver = cast(Receiver, self.server)
        assert self.path == "/api/v1/lineage"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver.keys.append(self.headers["Authorization"])
        receiver.events.append(json.loads(body))
        if receiver.manner == "silent":
            receiver.over.wait(120)
            return
        if receiver.manner == "dripping":
            self.wfile.write(b"HTTP/1.1 201 Created\r\nX-Long: ")
            while not receiver.over.wait(0.5):
                self.wfile.write(b"a")
                self.wfile.flush()
            return
        self.send_response(500 if receiver.manner == "error" else 201)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def receiving(manner: str = "ok") -> Iterator[Receiver]:
    receiver = Receiver(manner)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        receiver.shutdown()
        receiver.server_close()


# -- one event -------------------------------------------------------------------------------------


@pytest.fixture
def home(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        clean_environment.delenv(name, raising=False)
    clean_environment.setenv("FIRN_HOME", str(tmp_path))
    clean_environment.setattr(lineage, "SECONDS", 1.0)
    (tmp_path / "airflow").mkdir()
    return tmp_path


def transport(url: str) -> PausingHttpTransport:
    config = PausingHttpTransport.config_class.from_dict({"url": url, "retry": {"total": 0}})
    return PausingHttpTransport(config)


def emit(sender: PausingHttpTransport) -> float:
    """How many seconds it takes."""
    began = time.monotonic()
    sender.emit(
        RunEvent(
            eventType=RunState.START,
            eventTime="2026-03-01T00:00:00Z",
            run=Run(runId=str(generate_new_uuid())),
            job=Job(namespace="firn_local", name="sales__orders__1h"),
            producer="https://example.org",
        )
    )
    return time.monotonic() - began


@pytest.mark.parametrize("manner", ["error", "silent", "dripping"])
def test_a_bad_receiver_is_asked_once_a_minute(home: Path, manner: str) -> None:
    with receiving(manner) as receiver, capture_logs() as said:
        sender = transport(receiver.url)
        assert emit(sender) < 2.5
        assert max(emit(sender) for _ in range(20)) < 0.2
        # Another process, which has seen nothing of this.
        assert emit(transport(receiver.url)) < 0.2
        assert len(receiver.events) == 1
    (told,) = [one for one in said if one["event"] == "lineage.not_sent"]
    assert told["reason"] in {"RetryError", "TimeoutError"}


def test_nobody_there_and_nobody_answering_the_call(home: Path) -> None:
    assert emit(transport(f"http://127.0.0.1:{free_port()}")) < 1
    (home / "airflow" / "lineage-paused").unlink()
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # The queue of one is taken; whoever comes next waits.
        with socket.create_connection(full.getsockname()), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(full.getsockname())
            assert emit(transport(f"http://127.0.0.1:{full.getsockname()[1]}")) < 2.5


def test_after_the_pause_it_is_asked_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving("error") as receiver:
        sender = transport(receiver.url)
        emit(sender)
        receiver.manner = "ok"
        emit(sender)
        assert len(receiver.events) == 1
        monkeypatch.setattr(lineage, "PAUSE_SECONDS", 0.0)
        emit(sender)
        emit(sender)
        assert len(receiver.events) == 3


def test_an_address_that_is_none_is_refused(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = ConnectionSettings(firn_home=tmp_path)
    for wrong in ("receiver:5000", "ftp://receiver", "http://", "http://receiver:no"):
        clean_environment.setenv("FIRN_OPENLINEAGE_URL", wrong)
        with pytest.raises(ValueError, match=r"FIRN_OPENLINEAGE_URL cannot be used in .*: set it"):
            airflow_environment(settings=settings)


# -- in Airflow ------------------------------------------------------------------------------------

DAG = '''
"""An airflow dag that writes down whom its process calls."""
import os
import sys

import pendulum
from airflow.sdk import DAG, task
from include.orchestration.pipeline import default_args


def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        with open(os.environ["TEST_CALLS"], "a") as calls:
            calls.write(f"{arguments[1][0]}:{arguments[1][1]}\\n")


sys.addaudithook(watch)

with DAG(
    dag_id="lineage__try__never",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    default_args=default_args(),
):

    @task
    def load():
        pass

    @task
    def build():
        pass

    load() >> build()
'''

Runner = Callable[..., tuple[DagRunOutcome, list[str]]]
"""Runs the DAG with settings; the run, and whom its process called."""


@pytest.fixture(scope="module")
def one_receiver() -> Iterator[Receiver]:
    """One address for all runs: with the same settings, Airflow need not be started again."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def receiver(one_receiver: Receiver) -> Receiver:
    one_receiver.manner = "ok"
    one_receiver.events.clear()
    one_receiver.keys.clear()
    return one_receiver


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    home = tmp_path_factory.mktemp("firn")
    (home / "dags").mkdir()
    (home / "dags" / "lineage__try__never.py").write_text(DAG)
    settings = ConnectionSettings(firn_home=home)
    prepare(airflow_environment(headless=True, settings=settings))

    def run(**given: str) -> tuple[DagRunOutcome, list[str]]:
        calls = home / "calls"
        calls.write_text("")
        with pytest.MonkeyPatch.context() as patch:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
                patch.delenv(name, raising=False)
            for name, value in given.items():
                patch.setenv(name, value)
            # It names the test, and would be another environment for each.
            patch.delenv("PYTEST_CURRENT_TEST")
            variables = airflow_environment(headless=True, settings=settings)
        (home / "airflow" / "lineage-paused").unlink(missing_ok=True)
        outcome = run_dag(
            "lineage__try__never",
            variables
            | {"AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"), "TEST_CALLS": str(calls)},
        )
        assert not left_behind(calls)
        return outcome, calls.read_text().split()

    return run


def left_behind(calls: Path) -> list[psutil.Process]:
    """Forks of the process that waits for the next run."""
    (server,) = single_run._running.values()
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            ours = one.environ().get("TEST_CALLS") == str(calls) and "single_run" in str(
                one.cmdline()
            )
            if ours and one.pid != server.pid:
                found.append(one)
    return found


SUCCEEDED = {"load": "success", "build": "success"}


@pytest.mark.slow
def test_one_variable_switches_events_on(run: Runner, receiver: Receiver) -> None:
    outcome, calls = run(FIRN_OPENLINEAGE_URL=receiver.url, FIRN_OPENLINEAGE_API_KEY=KEY)
    assert outcome.tasks == SUCCEEDED, outcome.last_lines(30)
    told = [(one["eventType"], one["job"]["name"]) for one in receiver.events]
    dag = "lineage__try__never"
    assert told[:4] == [
        ("START", f"{dag}.load"),
        ("COMPLETE", f"{dag}.load"),
        ("START", f"{dag}.build"),
        ("COMPLETE", f"{dag}.build"),
    ]
    assert ("COMPLETE", dag) in told
    assert {one["job"]["namespace"] for one in receiver.events} == {"firn_local"}
    started, ended = receiver.events[:2]
    assert started["run"]["runId"] == ended["run"]["runId"]
    assert started["run"]["facets"]["parent"]["job"]["name"] == dag
    assert "sourceCode" not in ended["job"]["facets"]
    assert set(receiver.keys) == {f"Bearer {KEY}"}
    assert f"127.0.0.1:{receiver.server_port}" in calls
    log = outcome.log.read_text()
    assert KEY not in log
    assert KEY not in json.dumps(receiver.events)


@pytest.mark.slow
def test_a_receiver_that_says_nothing_holds_a_run_up_once(run: Runner, receiver: Receiver) -> None:
    receiver.manner = "silent"
    outcome, _ = run(FIRN_OPENLINEAGE_URL=receiver.url, FIRN_OPENLINEAGE_API_KEY=KEY)
    assert outcome.tasks == SUCCEEDED, outcome.last_lines(30)
    assert len(receiver.events) == 1
    assert outcome.log.read_text().count("lineage.not_sent") == 1


@pytest.mark.slow
def test_without_the_variable_nobody_is_called(run: Runner) -> None:
    outcome, calls = run()
    assert outcome.tasks == SUCCEEDED, outcome.last_lines(30)
    assert calls == []
    assert "OpenLineage" not in outcome.log.read_text()
