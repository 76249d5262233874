"""The orders pipeline through real Airflow, on a real local warehouse of its own.

The tests of this file build on each other's warehouse in the order they stand in: a first run, a
second one, then runs on a source that somebody broke, then a repaired one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import duckdb
import psutil  # type: ignore[import-untyped]
import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.orchestration import local_airflow
from include.orchestration.builds import NodeResult, builds_folder, read_run_results
from include.orchestration.environment import REPOSITORY
from include.orchestration.local_warehouse import start_warehouse, stop_warehouse
from include.orchestration.single_run import DagRunOutcome, run_dag
from include.sample_data import tpch
from tests.e2e.airflow import Prepared, prepared

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DAG = "tpch__orders__4h"
SCALE = 0.01
LINES = 60_175  # order lines at that scale


class Pipeline(Prepared):
    def run(self, **conf: Any) -> tuple[DagRunOutcome, dict[str, NodeResult], list[str]]:
        """The outcome, each node's result by name, and the names of nodes as they ended."""
        followed: list[NodeResult] = []
        outcome = run_dag(DAG, self.variables, conf=conf, on_node=followed.append)
        results = read_run_results(builds_folder(DAG, self.variables)) if outcome.built else []
        ended = [node.name for node in followed if node.status != "started"]
        return outcome, {node.name: node for node in results}, ended

    def count(self, layer: str, relation: str) -> int:
        rows = self.sql(f"select count(*) from analytics_dev.test_{layer}.{relation}")
        return int(rows[0][0])


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with prepared(tmp_path_factory.mktemp("firn")) as here:
        found = Pipeline(here.settings, here.variables)
        tpch.load(SCALE, settings=found.settings)
        yield found


def test_the_first_run_builds_and_tests_everything(pipeline: Pipeline) -> None:
    outcome, nodes, ended = pipeline.run()
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    assert set(outcome.tasks.values()) == {"success"}
    assert outcome.tasks["publish"] == "success"

    assert pipeline.count("mart", "mart_orders") == LINES
    assert pipeline.count("mart", "mart_customer_summary") == 1500
    assert pipeline.count("staging", "stg_tpch__fct_orders") == 15_000

    kinds = Counter(node.kind for node in nodes.values())
    assert kinds["model"] >= 13
    assert kinds["test"] >= 100
    # They are for pull requests and deployments.
    assert "unit_test" not in kinds
    tests = [node for node in nodes.values() if node.kind == "test"]
    assert {node.status for node in tests} == {"pass"}
    assert {kinds["seed"], kinds["snapshot"]} == {1, 2}
    # The progress that somebody saw while it ran is the whole build.
    assert set(nodes) <= set(ended)


def test_a_second_run_rewrites_nothing(pipeline: Pipeline) -> None:
    outcome, nodes, _ = pipeline.run()
    assert outcome.succeeded
    assert nodes["stg_tpch__fct_orders"].rows == 0
    assert nodes["stg_tpch__fct_lineitem"].rows == 0
    assert pipeline.count("mart", "mart_orders") == LINES


def test_what_a_run_is_asked_for_reaches_dbt(pipeline: Pipeline) -> None:
    outcome, nodes, _ = pipeline.run(is_full_refresh=True)
    assert outcome.succeeded
    # Built anew, a table reports itself and not the rows of a merge.
    assert nodes["stg_tpch__fct_orders"].rows != 0

    refused, _, _ = pipeline.run(is_full_refresh="perhaps")
    assert not refused.succeeded
    assert refused.tasks == {}
    assert "is_full_refresh" in refused.log.read_text()


# Besides, the summary, which runs whatever happens.
BEFORE_BUILDING = {"check_mode", "tpch.source_freshness", "summary"}


def _age(pipeline: Pipeline, table: str, years: int) -> None:
    """Let the last write to a source table lie so far back, in the stopped warehouse's catalogue.

    The project's limits are a hundred years for a warning and two hundred for an error.
    """
    stop_warehouse(pipeline.variables)
    with duckdb.connect(str(pipeline.settings.warehouse_home / "account.db")) as catalogue:
        changed = catalogue.execute(
            "update _firn.table_times set last_altered = now() - to_years(?) "
            "where database_name = 'SNOWFLAKE_SAMPLE_DATA' and table_name = ?",
            [years, table],
        ).fetchall()
    assert changed == [(1,)]
    assert start_warehouse(pipeline.variables)


def test_an_ageing_source_is_reported_and_the_run_goes_on(pipeline: Pipeline) -> None:
    _age(pipeline, "ORDERS", 150)
    outcome, nodes, _ = pipeline.run()
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    assert "WARN freshness of tpch.orders" in outcome.log.read_text()
    assert nodes["mart_orders"].status == "success"


def test_a_stale_source_stops_its_domain_before_anything_is_built(pipeline: Pipeline) -> None:
    _age(pipeline, "ORDERS", 250)
    outcome, nodes, _ = pipeline.run()
    assert not outcome.succeeded
    assert outcome.failed_tasks == ["tpch.source_freshness"]
    others = {state for task, state in outcome.tasks.items() if task not in BEFORE_BUILDING}
    assert others == {"upstream_failed"}
    assert not nodes
    assert any("STALE freshness of tpch.orders" in line for line in outcome.last_lines(60))
    _age(pipeline, "ORDERS", 0)


@pytest.fixture(scope="module")
def broken(pipeline: Pipeline) -> None:
    """A customer that is there twice, which a test of `stg_tpch__dim_customer` forbids."""
    table = "snowflake_sample_data.tpch_sf1.customer"
    pipeline.sql(f"insert into {table} select * from {table} where c_custkey = 1")


RED = "tpch.staging.stg_tpch__dim_customer"
GREEN = {
    "tpch.source_freshness",
    "tpch.staging.stg_tpch__dim_region",
    "tpch.staging.stg_tpch__dim_nation",
    "tpch.staging.stg_tpch__dim_part",
    "tpch.staging.stg_tpch__dim_supplier",
}
HELD_BACK = {"tpch.mart.mart_orders", "tpch.mart.mart_customer_summary", "publish"}


def test_a_failing_test_turns_the_models_own_task_red_in_a_headless_run(
    pipeline: Pipeline, broken: None
) -> None:
    outcome, nodes, _ = pipeline.run()
    assert not outcome.succeeded
    # The model itself was built: it is its test that failed.
    assert nodes["stg_tpch__dim_customer"].status == "success"
    failed_tests = [name for name, node in nodes.items() if node.failed]
    assert failed_tests
    assert all("stg_tpch__dim_customer" in name for name in failed_tests)

    assert outcome.tasks[RED] == "failed"
    assert {task: outcome.tasks[task] for task in GREEN} == dict.fromkeys(GREEN, "success")
    assert {task: outcome.tasks[task] for task in HELD_BACK} == dict.fromkeys(
        HELD_BACK, "upstream_failed"
    )


def test_a_failing_test_turns_the_models_own_task_red_under_a_scheduler(
    pipeline: Pipeline, broken: None
) -> None:
    up = _orchestration("up", pipeline)
    try:
        assert up.returncode == 0, up.stderr
        url = pipeline.variables["AIRFLOW__API__BASE_URL"]
        assert url in up.stdout
        password = local_airflow.password(pipeline.variables)
        assert f"user admin, password {password}" in up.stdout
        family, programs = _family(pipeline), _programs(pipeline)

        again = _orchestration("up", pipeline)
        assert again.returncode == 0, again.stderr
        assert _programs(pipeline) == programs

        _assert_loopback_only(family)
        states = _states_once_red(url, password)
    finally:
        down = _orchestration("down", pipeline)
    assert {task: states[task] for task in GREEN} == dict.fromkeys(GREEN, "success")
    # Not held back by a state of its own: it waits for the retry of what it needs.
    assert {task: states[task] for task in HELD_BACK} == dict.fromkeys(HELD_BACK, None)

    assert "Stopped Airflow" in down.stdout
    assert not any(process.is_running() for process in family)
    # This warehouse was not started by `up`.
    assert pipeline.sql("select 1") == [(1,)]
    assert "did not run" in _orchestration("down", pipeline).stdout


def test_stale_or_missing_sources_stop_the_domain_before_anything_is_built(
    pipeline: Pipeline,
) -> None:
    pipeline.sql("drop table snowflake_sample_data.tpch_sf1.region")
    try:
        outcome, _, ended = pipeline.run()
    finally:
        tpch.load(SCALE, settings=pipeline.settings)
    assert outcome.failed_tasks == ["tpch.source_freshness"]
    others = {state for task, state in outcome.tasks.items() if task not in BEFORE_BUILDING}
    assert others == {"upstream_failed"}
    assert ended == [] or not any(name.startswith("stg_") for name in ended)


def test_the_run_after_the_repair_succeeds(pipeline: Pipeline) -> None:
    pipeline.sql("drop table snowflake_sample_data.tpch_sf1.customer")
    tpch.load(SCALE, settings=pipeline.settings)
    outcome, _, _ = pipeline.run()
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    assert pipeline.count("mart", "mart_customer_summary") == 1500


def _orchestration(command: str, pipeline: Pipeline) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "include.orchestration", command],
        cwd=REPOSITORY,
        env=os.environ | pipeline.settings.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def _programs(pipeline: Pipeline) -> list[int]:
    notes = pipeline.settings.run_home
    return [
        int((notes / f"airflow-{component}.pid").read_text().split()[0])
        for component in local_airflow.COMPONENTS
    ]


def _family(pipeline: Pipeline) -> list[psutil.Process]:
    family = []
    for pid in _programs(pipeline):
        process = psutil.Process(pid)
        family += [process, *process.children(recursive=True)]
    return family


def _assert_loopback_only(family: list[psutil.Process]) -> None:
    listening = set()
    for process in family:
        # Some of them come and go.
        with suppress(psutil.NoSuchProcess):
            listening |= {
                connection.laddr.ip
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
    assert listening == {"127.0.0.1"}


def _states_once_red(url: str, password: str) -> dict[str, str | None]:
    """Switch the DAG on, which starts its run of the last four hours; the state of each of its
    tasks once the model's task has failed.
    """
    login = {"username": "admin", "password": password}
    token = _call(f"{url}/auth/token", "", "POST", login)["access_token"]
    dag = f"{url}/api/v2/dags/{DAG}"
    for attempt in Retrying(stop=stop_after_delay(60), wait=wait_fixed(1), reraise=True):
        with attempt:
            _call(dag, token, "PATCH", {"is_paused": False})
    states: dict[str, str | None] = {}
    for attempt in Retrying(stop=stop_after_delay(240), wait=wait_fixed(1), reraise=True):
        with attempt:
            (run,) = _call(f"{dag}/dagRuns?state=running", token)["dag_runs"]
            tasks = f"{dag}/dagRuns/{run['dag_run_id']}/taskInstances"
            instances = _call(tasks, token)["task_instances"]
            states = {task["task_id"]: task["state"] for task in instances}
            assert states.get(RED) == "up_for_retry", states
            assert {states.get(task) for task in GREEN} == {"success"}, states
    return states


def _call(
    url: str, token: str = "", method: str = "GET", body: dict[str, Any] | None = None
) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310
        url,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Content-Type": "application/json"}
        | ({"Authorization": f"Bearer {token}"} if token else {}),
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
