"""The tasks of a DAG are the models of its domain, in the order of their lineage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.project.manifest import tests_by_owner as owners_of_tests

DAG = "tpch__orders__4h"


def _models(manifest: dict[str, Any]) -> dict[str, str]:
    """Task id of each model, seed and snapshot of the domain, by its unique id."""
    found = {}
    for unique_id, node in manifest["nodes"].items():
        kind, *folders = Path(node["original_file_path"]).parts
        if node["resource_type"] not in {"model", "seed", "snapshot"} or "tpch" not in folders:
            continue
        group = folders[0] if kind == "models" else kind
        found[unique_id] = f"tpch.{group}.{unique_id.split('.')[2]}"
    return found


@pytest.fixture
def models(manifest: dict[str, Any]) -> dict[str, str]:
    return _models(manifest)


def _nodes(parsed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    tasks: dict[str, dict[str, Any]] = parsed["dags"][DAG]["tasks"]
    return {task_id: task for task_id, task in tasks.items() if task["node"]}


def test_every_model_of_the_domain_is_a_task(
    scheduled: dict[str, Any], models: dict[str, str]
) -> None:
    assert {one.split(".")[0] for one in models} == {"model", "seed", "snapshot"}
    assert {task["node"]: task_id for task_id, task in _nodes(scheduled).items()} == models


@pytest.mark.parametrize("mode", ["scheduled", "headless"])
def test_edges_between_models_are_those_of_the_manifest(
    request: pytest.FixtureRequest, manifest: dict[str, Any], models: dict[str, str], mode: str
) -> None:
    nodes = _nodes(request.getfixturevalue(mode))
    expected = {
        (models[parent], models[unique_id])
        for unique_id in models
        for parent in manifest["parent_map"].get(unique_id, ())
        if parent in models
    }
    found = {
        (parent, task_id)
        for task_id, task in nodes.items()
        for parent in task["upstream"]
        if parent in nodes
    }
    assert found == expected
    assert expected


@pytest.mark.parametrize("mode", ["scheduled", "headless"])
def test_freshness_is_checked_before_anything_is_built(
    request: pytest.FixtureRequest, mode: str
) -> None:
    tasks = request.getfixturevalue(mode)["dags"][DAG]["tasks"]
    assert tasks["tpch.source_freshness"]["upstream"] == ["check_mode"]
    for task_id, task in tasks.items():
        assert task["upstream"] or task_id == "check_mode"
    assert tasks["tpch.dbt_producer_watcher"]["upstream"] == ["tpch.source_freshness"]


def test_under_a_scheduler_models_follow_the_build_while_it_runs(
    scheduled: dict[str, Any],
) -> None:
    for task_id, task in _nodes(scheduled).items():
        assert "tpch.dbt_producer_watcher" not in task["upstream"], task_id
        first = task["upstream"] == ["tpch.source_freshness"]
        # The first follow what may have been skipped; the others follow models.
        assert task["trigger_rule"] == ("none_failed" if first else "all_success"), task_id


def test_without_a_scheduler_the_build_stands_before_the_first_models(
    headless: dict[str, Any],
) -> None:
    nodes = _nodes(headless)
    first = [task for task in nodes.values() if not set(task["upstream"]) & set(nodes)]
    assert first
    for task in first:
        assert task["upstream"] == ["tpch.dbt_producer_watcher", "tpch.source_freshness"]
        assert task["trigger_rule"] == "all_done_min_one_success"


def test_the_asset_is_published_after_everything(scheduled: dict[str, Any]) -> None:
    tasks = scheduled["dags"][DAG]["tasks"]
    assert tasks["publish"]["outlets"] == ["tpch"]
    needed_by_others = {one for task in tasks.values() for one in task["upstream"]}
    assert set(tasks) - needed_by_others == {"publish", "summary"}


def test_each_task_knows_whether_tests_are_its_own(
    scheduled: dict[str, Any], manifest: dict[str, Any]
) -> None:
    owners = owners_of_tests(manifest)
    for task_id, task in _nodes(scheduled).items():
        assert task["has_tests"] == (task["node"] in owners), task_id
    assert any(task["has_tests"] for task in _nodes(scheduled).values())


def test_models_carry_their_description(scheduled: dict[str, Any]) -> None:
    for task_id, task in _nodes(scheduled).items():
        assert task["doc_md"], task_id
