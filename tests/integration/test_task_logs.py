"""What a task's log holds, in real Airflow: events with their fields, and no secret."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from include.airflow import local as local_airflow
from include.airflow.environment import airflow_environment
from include.orchestration.single_run import DagRunOutcome, run_dag
from include.warehouse.connection import ConnectionSettings
from tests.conftest import free_port
from tests.prepared_airflow import prepare

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DAG_ID = "logs__try__never"
DAG = '''
"""An airflow dag whose tasks say secrets."""
import logging
import os
import pathlib
import subprocess

import pendulum
from airflow.sdk import DAG, task

from include.core.logs import event
from include.orchestration.pipeline import default_args
from include.project.paths import dbt_executable

SECRETS = pathlib.Path(os.environ["TEST_SECRETS"]).read_text().split()

with DAG(
    dag_id="logs__try__never",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    default_args=default_args(),
):

    @task
    def say():
        for number, secret in enumerate(SECRETS):
            logging.getLogger("somebody").info("logged %s %s", number, secret)
            print("printed", number, secret)
            event("try.said", number=number, said=f"with {secret}")

    @task
    def dbt():
        project = os.environ["TEST_DBT"]
        command = [dbt_executable(), "--no-partial-parse", "parse", "--project-dir", project]
        done = subprocess.run(
            [*command, "--profiles-dir", project], capture_output=True, text=True, check=False
        )
        print(done.stdout)
        if done.returncode:
            raise RuntimeError(done.stdout)

    @task
    def fail():
        try:
            raise ValueError(f"inner {SECRETS[0]}")
        except ValueError as error:
            raise RuntimeError("outer " + " ".join(SECRETS)) from error

    say() >> dbt() >> fail()
'''

PASSWORD, PASSPHRASE, DATABASE, WEBHOOK, KEY_LINE = (
    "made-up-password",
    "made-up-passphrase",
    "made-up-database-word",
    "T0/B0/made-up-webhook",
    "MIIEmadeupKeyLine",
)
SECRETS = [PASSWORD, PASSPHRASE, DATABASE, WEBHOOK, KEY_LINE]


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An Airflow of its own, whose settings hold secrets and whose DAG says them."""
    home = tmp_path_factory.mktemp("firn")
    (home / "dags").mkdir()
    (home / "dags" / f"{DAG_ID}.py").write_text(DAG)
    (home / "secrets").write_text("\n".join(SECRETS))
    (home / "key.p8").write_text(f"-----BEGIN PRIVATE KEY-----\n{KEY_LINE}\n")
    project = home / "dbt"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text(
        "{name: small, version: '1.0', profile: small, flags: {send_anonymous_usage_stats: false}}"
    )
    (project / "profiles.yml").write_text(
        "small: {target: t, outputs: {t: {type: snowflake, account: a, user: u, database: d,"
        " schema: s,"
        " password: \"{{ env_var('SNOWFLAKE_PASSWORD') }}\"}}}"
    )
    (project / "models" / "said.sql").write_text(
        "{{ log('dbt says ' ~ env_var('SNOWFLAKE_PASSWORD'), info=true) }} select 1 as one"
    )
    port = str(free_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRN_AIRFLOW_PORT", port)
        made = airflow_environment(headless=True, settings=ConnectionSettings(firn_home=home))
    prepare(made)
    return made | {
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "TEST_SECRETS": str(home / "secrets"),
        "TEST_DBT": str(project),
        "SNOWFLAKE_PASSWORD": PASSWORD,
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": PASSPHRASE,
        "SNOWFLAKE_PRIVATE_KEY_PATH": str(home / "key.p8"),
        "FIRN_GAMING_DATABASE_URL": f"postgresql://player:{DATABASE}@127.0.0.1/game",
        "AIRFLOW_CONN_SLACK_ALERTS": '{"conn_type": "slackwebhook", "password":'
        f' "http://127.0.0.1:9/services/{WEBHOOK}"}}',
    }


@pytest.fixture(scope="module")
def outcome(variables: dict[str, str]) -> DagRunOutcome:
    """The DAG run without a scheduler, all in one process."""
    return run_dag(DAG_ID, variables)


@contextmanager
def _api_server(variables: dict[str, str]) -> Iterator[None]:
    """The part of Airflow that supervisors talk to."""
    local_airflow.start_component("api-server", variables)
    try:
        deadline = time.monotonic() + 120
        while not local_airflow._port_is_taken(int(variables["AIRFLOW__API__PORT"])):
            assert local_airflow.is_running("api-server", variables)
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield
    finally:
        local_airflow.stop(variables)


@pytest.fixture(scope="module")
def supervised(variables: dict[str, str]) -> dict[str, str]:
    """The logs of the same tasks, each supervised in a process of its own, as under a scheduler."""
    with _api_server(variables):
        subprocess.run(
            [sys.executable, "-m", "airflow", "dags", "test", DAG_ID, "--use-executor"],
            env=variables,
            capture_output=True,
            check=False,
        )
    logs = Path(variables["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]).glob("**/task_id=*/attempt=1.log")
    return {log.parent.name.removeprefix("task_id="): log.read_text() for log in logs}


def test_no_task_shows_a_secret_however_it_says_it(outcome: DagRunOutcome) -> None:
    assert outcome.tasks == {
        "say": "success",
        "dbt": "success",
        "fail": "failed",
    }, outcome.last_lines(40)
    log = outcome.log.read_text()
    for number in range(len(SECRETS)):
        assert f"logged {number} ***" in log
        assert f"printed {number} ***" in log
    assert "said='with ***'" in log
    assert "inner ***" in log
    assert "outer *** *** *** *** ***" in log
    for secret in SECRETS:
        assert secret not in log, secret


def test_dbt_shows_none_in_its_own_log_either(outcome: DagRunOutcome) -> None:
    assert "dbt says ***" in outcome.log.read_text()
    (own,) = Path(outcome.log.parents[1], "dbt").glob("**/dbt.log")
    assert "dbt says *****" in own.read_text()
    assert PASSWORD not in own.read_text()


def test_an_event_in_a_task_has_its_fields(outcome: DagRunOutcome) -> None:
    (line,) = (
        line
        for line in outcome.log.read_text().splitlines()
        if "try.said" in line and "number=0" in line
    )
    for field in (f"dag_id={DAG_ID}", "task_id=say", f"run_id={outcome.run_id}"):
        assert field in line


def test_a_supervised_task_shows_no_secret_either(supervised: dict[str, str]) -> None:
    assert set(supervised) == {"say", "dbt", "fail"}
    for task, log in supervised.items():
        for secret in SECRETS:
            assert secret not in log, f"{task}: {secret}"
    assert "logged 0 ***" in supervised["say"]
    assert "printed 0 ***" in supervised["say"]
    assert "outer *** *** *** *** ***" in supervised["fail"]
    assert "inner ***" in supervised["fail"]
    assert "dbt says ***" in supervised["dbt"]


def test_a_supervised_task_logs_events_as_json(supervised: dict[str, str]) -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in supervised["say"].splitlines()]
    (event,) = [line for line in lines if line["event"] == "try.said" and line["number"] == 0]
    assert (event["dag_id"], event["task_id"], event["said"]) == (DAG_ID, "say", "with ***")
    assert event["run_id"].startswith("manual__")
    assert event["level"] == "info"
