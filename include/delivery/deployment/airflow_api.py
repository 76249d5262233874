"""Airflow's REST API, as far as a deployment pauses DAGs with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from include.delivery.deployment.errors import DeploymentError
from include.delivery.deployment.settings import Airflow

ANSWER_SECONDS, ATTEMPTS = 20.0, 3
PAGE = 100


class AirflowError(DeploymentError):
    """Airflow did not do what was asked; the message says what to do and holds no password."""


class AirflowApi:
    """The requests of one login; each is tried again where the network is at fault."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client, self._url = client, url

    def log_in(self, airflow: Airflow) -> None:
        """Get a token for all requests from here on."""
        login = {"username": airflow.user, "password": airflow.password.get_secret_value()}
        # No user is set for an Airflow that needs no login.
        answer = self._send("POST" if airflow.user else "GET", "auth/token", airflow.user and login)
        if not answer.is_success:
            raise AirflowError(
                f"Airflow at {self._url} refused the login ({answer.status_code}): correct "
                "FIRN_AIRFLOW_USER and FIRN_AIRFLOW_PASSWORD."
            )
        self._client.headers["Authorization"] = f"Bearer {self._field(answer, 'access_token')}"

    def dags(self, tags: Sequence[str]) -> dict[str, bool]:
        """Whether each DAG with one of the tags is paused, by name; never none."""
        found: dict[str, bool] = {}
        page: list[dict[str, Any]] = [{}] * PAGE
        while len(page) == PAGE:
            asked = httpx.QueryParams(
                {"tags": tuple(tags), "tags_match_mode": "any", "limit": PAGE, "offset": len(found)}
            )
            page = self._asked("dags", "GET", f"api/v2/dags?{asked}")
            found |= {one["dag_id"]: one["is_paused"] for one in page}
        if not found:
            raise AirflowError(
                f"Airflow at {self._url} shows no DAG tagged {', '.join(tags)}: correct "
                "FIRN_AIRFLOW_URL, or let FIRN_AIRFLOW_USER read and edit DAGs."
            )
        return found

    def set_paused(self, dag_id: str, is_paused: bool) -> bool:
        """Whether there is such a DAG."""
        path = f"api/v2/dags/{quote(dag_id, safe='')}"
        return self._asked("dag_id", "PATCH", path, {"is_paused": is_paused}) is not None

    def busy(self, dags: Iterable[str], states: Sequence[str]) -> list[str]:
        """DAG and task of what is in one of the states."""
        asked = {"dag_ids": sorted(dags), "state": list(states), "page_limit": PAGE}
        path = "api/v2/dags/~/dagRuns/~/taskInstances/list"
        found = self._asked("task_instances", "POST", path, asked)
        return sorted({f"{one['dag_id']}.{one['task_id']}" for one in found})

    def _asked(self, field: str, method: str, path: str, body: object = None) -> Any:
        """A field of the answer; None where a DAG that is named is not there."""
        answer = self._send(method, path, body)
        if answer.status_code == 404 and method == "PATCH":
            return None
        if not answer.is_success:
            raise AirflowError(
                f"Airflow at {self._url} answered {answer.status_code} to {method} "
                f"{path.partition('?')[0]}: let FIRN_AIRFLOW_USER read and edit DAGs."
            )
        return self._field(answer, field)

    def _field(self, answer: httpx.Response, name: str) -> Any:
        try:
            return answer.json()[name]
        except (ValueError, KeyError, TypeError):
            raise AirflowError(
                f"What answers at {self._url} is not Airflow 3: correct FIRN_AIRFLOW_URL."
            ) from None

    def _send(self, method: str, path: str, body: object = None) -> httpx.Response:
        def send() -> httpx.Response:
            answer = self._client.request(method, path, json=body or None)
            return answer.raise_for_status() if answer.is_server_error else answer

        again = Retrying(
            retry=retry_if_exception_type(httpx.HTTPError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_fixed(1),
            reraise=True,
        )
        try:
            return again(send)
        except httpx.HTTPError as error:
            raise AirflowError(
                f"Airflow does not answer at {self._url} ({type(error).__name__}): start it, or "
                "correct FIRN_AIRFLOW_URL."
            ) from None


@contextmanager
def airflow_api(airflow: Airflow) -> Iterator[AirflowApi]:
    """Log in.

    Raises:
        AirflowError: Airflow does not answer, or lets the user not in; its requests raise it too.
    """
    with httpx.Client(
        base_url=f"{airflow.url}/",
        timeout=ANSWER_SECONDS,
        # An address of this machine is not looked for behind a proxy.
        trust_env=not airflow.is_here,
    ) as client:
        api = AirflowApi(client, airflow.url)
        api.log_in(airflow)
        yield api
