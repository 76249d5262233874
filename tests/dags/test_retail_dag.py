"""The shop's DAG: its delivery first, a summary whatever happens, published only if all is well."""

from __future__ import annotations

from typing import Any

import pytest

DAG = "retail__sales__daily"


@pytest.fixture
def tasks(scheduled: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = scheduled["dags"][DAG]["tasks"]
    return found


def before(tasks: dict[str, dict[str, Any]], task: str) -> set[str]:
    """All tasks that stand before one."""
    found: set[str] = set()
    open_ids = list(tasks[task]["upstream"])
    while open_ids:
        if (one := open_ids.pop()) not in found:
            found.add(one)
            open_ids += tasks[one]["upstream"]
    return found


def test_it_runs_every_day(scheduled: dict[str, Any]) -> None:
    assert scheduled["dags"][DAG]["schedule"] == "0 6 * * *"


def test_a_delivery_is_picked_up_before_anything_is_waited_for(
    tasks: dict[str, dict[str, Any]],
) -> None:
    assert tasks["deliver"]["upstream"] == ["check_mode"]
    for source in ("customers", "transactions", "products"):
        assert "deliver" in before(tasks, f"ingest.{source}.wait")
        assert f"ingest.{source}.load" in before(tasks, "retail.dbt_producer_watcher")


def test_every_model_is_exported_before_the_asset_is_published(
    tasks: dict[str, dict[str, Any]],
) -> None:
    models = {name for name, task in tasks.items() if task["node"]}
    assert len(models) == 14
    assert models <= before(tasks, "export")
    assert tasks["publish"]["upstream"] == ["export"]
    # Neither a failure nor a model that is held back; both run when there is nothing to build.
    assert tasks["publish"]["trigger_rule"] == tasks["export"]["trigger_rule"] == "none_failed"
    assert tasks["publish"]["outlets"] == ["retail"]


def test_the_summary_runs_whatever_happens_and_hides_no_failure(
    tasks: dict[str, dict[str, Any]],
) -> None:
    assert tasks["summary"]["trigger_rule"] == "all_done"
    assert "export" in before(tasks, "summary")
    # Airflow takes the state of a run from its last tasks: this one may not be the only one.
    assert "publish" not in before(tasks, "summary")
    assert not any("summary" in task["upstream"] for task in tasks.values())


def test_a_sample_is_made_up_where_there_is_nothing_else(scheduled: dict[str, Any]) -> None:
    params = scheduled["dags"][DAG]["params"]
    assert params["generate_sample"]["type"] == "boolean"
    for name in ("customers", "transactions", "products"):
        assert params[name]["type"] == "integer"
        assert params[name]["minimum"] == 1
