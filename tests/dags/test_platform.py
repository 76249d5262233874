"""The DAGs of the platform: costs, which an account alone can tell of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from include.airflow.environment import airflow_environment
from include.project.manifest import ensure_manifest, read_manifest
from include.warehouse.connection import ConnectionSettings

DAG = "platform__cost__daily"
MODELS = {
    "platform.staging.stg_platform__query_attribution",
    "platform.staging.stg_platform__warehouse_metering",
    "platform.mart.mart_platform__costs_daily",
    "platform.mart.mart_platform__budget_monthly",
}

Parse = Callable[[ConnectionSettings], dict[str, Any]]


def settings_of(tmp_path_factory: pytest.TempPathFactory, account: str) -> ConnectionSettings:
    return ConnectionSettings(
        firn_home=tmp_path_factory.mktemp("prod"),
        firn_target="prod",
        snowflake_account=account,
        snowflake_user="ada",
        snowflake_password="not used",
        snowflake_warehouse="transforming",
    )


@pytest.fixture(scope="module")
def on_an_account(
    tmp_path_factory: pytest.TempPathFactory, parse_for: Parse
) -> dict[str, dict[str, Any]]:
    """The tasks of the DAG as production draws it."""
    tasks: dict[str, dict[str, Any]] = parse_for(settings_of(tmp_path_factory, "a-b"))["dags"][DAG][
        "tasks"
    ]
    return tasks


def test_on_an_account_costs_are_built_and_then_the_budget_is_looked_at(
    on_an_account: dict[str, dict[str, Any]],
) -> None:
    assert {name for name, task in on_an_account.items() if task["node"]} == MODELS
    assert on_an_account["platform.source_freshness"]["upstream"] == ["check_mode"]
    assert "platform.mart.mart_platform__budget_monthly" in on_an_account["budget"]["upstream"]
    assert on_an_account["budget"]["trigger_rule"] == "all_success"
    assert "task_failed" in on_an_account["budget"]["alerts"]
    assert on_an_account["platform.mart.mart_platform__costs_daily"]["has_tests"]


def test_on_the_local_warehouse_nothing_is_built(scheduled: dict[str, Any]) -> None:
    tasks = scheduled["dags"][DAG]["tasks"]
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        "check_mode": [],
        "costs_are_off": ["check_mode"],
        "budget": ["costs_are_off"],
    }


def test_neither_is_it_where_an_account_is_rehearsed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = settings_of(tmp_path_factory, "local")
    manifest = read_manifest(ensure_manifest(airflow_environment(settings=settings)))
    nodes = {name: node for name, node in manifest["nodes"].items() if "platform__" in name}
    assert {name.split(".")[0] for name in nodes} <= {"test"}
    assert not [name for name, node in nodes.items() if node["config"]["enabled"]]
    assert not [name for name in manifest["sources"] if ".platform." in name]
    assert "model.firn.mart_orders" in manifest["nodes"]
