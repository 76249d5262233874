"""What keeps a deployment from pausing pipelines: one sentence, before anything is touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from include.core.logs import secrets
from include.delivery.deployment import airflow_api
from include.delivery.deployment.airflow_api import AirflowError
from include.delivery.deployment.pipelines import Pipelines
from include.delivery.deployment.records import Book
from include.delivery.deployment.settings import DeploymentSettings
from include.warehouse.connection import ConfigurationError, ConnectionSettings
from tests.conftest import free_port


@pytest.fixture
def environment(clean_environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    clean_environment.setattr(airflow_api, "ATTEMPTS", 1)
    return clean_environment


def refusal() -> str:
    with pytest.raises(AirflowError) as caught:
        Pipelines(DeploymentSettings().airflow, Book(ConnectionSettings()), pytest.fail).check()
    return str(caught.value)


def test_without_an_address_nothing_is_paused_and_that_is_said(
    environment: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    Pipelines(DeploymentSettings().airflow, Book(ConnectionSettings()), said.append).check()
    assert said == ["FIRN_AIRFLOW_URL is not set: no pipeline is paused."]


@pytest.mark.parametrize(
    "url",
    [
        "airflow.example.com",
        "http://airflow.example.com",
        "ftp://127.0.0.1",
        "https://",
        "https://127.0.0.1:x",
        "https://ada:made-up@airflow.example.com",
        "https://airflow.example.com/?token=made-up",
    ],
)
def test_an_address_that_cannot_be_used(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("FIRN_AIRFLOW_URL", url)
    with pytest.raises(
        ConfigurationError, match=r"FIRN_AIRFLOW_URL cannot be used in .*: set"
    ) as caught:
        _ = DeploymentSettings().airflow
    assert "made-up" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"FIRN_AIRFLOW_USER": "ada"},
        {"FIRN_AIRFLOW_PASSWORD": "made-up"},
        {"FIRN_AIRFLOW_USER": "ada", "FIRN_AIRFLOW_PASSWORD": "made-up"},
        {"FIRN_AIRFLOW_URL": "https://airflow.example.com", "FIRN_AIRFLOW_USER": "ada"},
    ],
)
def test_half_of_a_login(environment: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match="belong together: set what is missing"):
        _ = DeploymentSettings().airflow


def test_the_password_is_hidden(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FIRN_AIRFLOW_PASSWORD", "made-up-word")
    assert "made-up-word" in secrets()
    assert "made-up-word" not in repr(DeploymentSettings())


def test_nothing_answers(environment: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    environment.setenv("FIRN_AIRFLOW_URL", f"{url}/")
    assert refusal() == (
        f"Airflow does not answer at {url} (ConnectError): start it, or correct FIRN_AIRFLOW_URL."
    )


@pytest.fixture
def answering(environment: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, str]]]:
    """A web server that gives these answers by path."""
    answers: dict[str, tuple[int, str]] = {}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers[self.path.partition("?")[0]]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment.setenv("FIRN_AIRFLOW_URL", f"http://127.0.0.1:{server.server_port}")
        yield answers
        server.shutdown()


@pytest.mark.parametrize(
    ("token", "dags", "said"),
    [
        ((200, "<html>"), (200, "{}"), "is not Airflow 3: correct FIRN_AIRFLOW_URL."),
        ((302, ""), (200, "{}"), "refused the login (302): correct FIRN_AIRFLOW_USER and"),
        ((502, ""), (200, "{}"), "does not answer at"),
        ((201, '{"access_token": "t"}'), (404, "{}"), "answered 404 to GET api/v2/dags: let"),
        ((201, '{"access_token": "t"}'), (200, '{"dags": []}'), "shows no DAG tagged dbt, monito"),
    ],
)
def test_what_answers_is_not_the_airflow_that_is_meant(
    answering: dict[str, tuple[int, str]],
    token: tuple[int, str],
    dags: tuple[int, str],
    said: str,
) -> None:
    answering.update({"/auth/token": token, "/api/v2/dags": dags})
    assert said in refusal()
