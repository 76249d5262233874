"""The orders pipeline through real Airflow, on a real local warehouse of its own.

The tests share one warehouse, and each builds on the test above it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.domains.tpch import sample as tpch
from include.orchestration.single_run import DagRunOutcome
from include.project.builds import NodeResult, builds_folder, read_run_results
from include.warehouse.local_process import start_warehouse, stop_warehouse
from tests.e2e.airflow import Prepared, prepared
from tests.e2e.scheduler import Scheduler, scheduler

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DAG = "tpch__orders__4h"
SCALE = 0.01
LINES = 60_175  # order lines at that scale


class Pipeline(Prepared):
    def run(self, **conf: Any) -> tuple[DagRunOutcome, dict[str, NodeResult], list[str]]:
        """The outcome, each node's result by name, and the names of nodes as they ended."""
        followed: list[NodeResult] = []
        outcome = self.run_dag(DAG, on_node=followed.append, **conf)
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
    # Pull requests and deployments run the unit tests.
    assert "unit_test" not in kinds
    tests = [node for node in nodes.values() if node.kind == "test"]
    assert {node.status for node in tests} == {"pass"}
    assert {kinds["seed"], kinds["snapshot"]} == {1, 2}
    # The progress that somebody saw while it ran is the whole build.
    assert set(nodes) <= set(ended)


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


def test_an_ageing_source_is_reported_and_a_second_run_rewrites_nothing(pipeline: Pipeline) -> None:
    _age(pipeline, "ORDERS", 150)
    outcome, nodes, _ = pipeline.run()
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    assert "WARN freshness of tpch.orders" in outcome.log.read_text()
    assert nodes["mart_orders"].status == "success"
    # Nothing has changed since the first run.
    assert nodes["stg_tpch__fct_orders"].rows == 0
    assert nodes["stg_tpch__fct_lineitem"].rows == 0
    assert pipeline.count("mart", "mart_orders") == LINES


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
    with scheduler(pipeline.variables) as airflow:
        # The headless runs left a DAG without retries, until the DAG processor reads it again.
        for attempt in Retrying(stop=stop_after_delay(60), wait=wait_fixed(1), reraise=True):
            with attempt:
                assert airflow.call(f"dags/{DAG}/tasks/{RED}")["retries"] > 0
        # Unpausing the DAG starts its run of the last four hours.
        airflow.unpause(DAG)
        states = states_once_red(airflow)
        # The data is repaired, and the task is cleared by hand: it builds its model alone.
        table = "snowflake_sample_data.tpch_sf1.customer"
        pipeline.sql(f"create or replace table {table} as select distinct * from {table}")
        run = airflow.last_run(DAG)["dag_run_id"]
        cleared = {"dag_run_id": run, "task_ids": [RED], "only_failed": False, "dry_run": False}
        airflow.call(f"dags/{DAG}/clearTaskInstances", "POST", cleared)
        for attempt in Retrying(stop=stop_after_delay(120), wait=wait_fixed(1), reraise=True):
            with attempt:
                assert airflow.tasks(DAG, run)[RED] == "success"
        log = airflow.log(DAG, run, RED, tries=2)
        assert "PASS" in log
        assert "stg_tpch__dim_customer" in log
    assert {task: states[task] for task in GREEN} == dict.fromkeys(GREEN, "success")
    # Not held back by a state of its own: it waits for the retry of what it needs.
    assert {task: states[task] for task in HELD_BACK} == dict.fromkeys(HELD_BACK, None)


def states_once_red(airflow: Scheduler) -> dict[str, str | None]:
    """The state of each task of the run once the model's task has failed."""
    states: dict[str, str | None] = {}
    for attempt in Retrying(stop=stop_after_delay(240), wait=wait_fixed(1), reraise=True):
        with attempt:
            states = airflow.tasks(DAG, airflow.last_run(DAG)["dag_run_id"])
            assert states.get(RED) == "up_for_retry", states
            assert {states.get(task) for task in GREEN} == {"success"}, states
    return states


def test_a_missing_source_stops_the_domain_before_anything_is_built(
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
