"""What a run did, put together from what dbt, the loads and the export say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from include.monitoring.run_summary import (
    FAILED,
    NOT_RUN,
    SUCCESS,
    WARNING,
    Layer,
    Loads,
    Run,
    layers,
    text,
    whole,
)
from include.orchestration.summary_tasks import states_by_task
from include.project.builds import NodeResult
from include.project.nodes import Project


def at(minute: int, second: int = 0) -> datetime:
    return datetime(2025, 1, 2, 6, minute, second, tzinfo=UTC)


PROJECT = Project(
    sources=["RAW.SHOP.orders"],
    layers={
        "test.firn.source_key": "source",
        "model.firn.stg_shop__orders": "staging",
        "test.firn.unique_orders": "staging",
        "test.firn.known_product": "staging",
        "model.firn.mart_shop__sales": "mart",
        "test.firn.adds_up": "mart",
    },
    relations={
        "model.firn.stg_shop__orders": "ANALYTICS.staging.stg_shop__orders",
        "model.firn.mart_shop__sales": "ANALYTICS.mart.mart_shop__sales",
    },
)
ROWS = {
    "RAW.SHOP.ORDERS": 10,
    "ANALYTICS.STAGING.STG_SHOP__ORDERS": 9,
    "ANALYTICS.MART.MART_SHOP__SALES": 2,
}
LOADS = Loads(at(0), at(1, 30), 1, 12, 10, 1, 1)


def run(**states: str) -> Run:
    return Run(
        "shop__sales__daily",
        "manual",
        "shop",
        at(0),
        {task.replace("__", "."): {state} for task, state in states.items()},
    )


def node(name: str, status: str, minute: int = 2, **more: Any) -> NodeResult:
    return NodeResult(
        name, name.split(".")[0], status, 1.0, began=at(minute), ended=at(minute, 30), **more
    )


GOOD = [
    node("test.firn.source_key", "pass"),
    node("model.firn.stg_shop__orders", "success", 3),
    node("test.firn.unique_orders", "pass", 4),
    node("test.firn.known_product", "warn", 5, message="Got 3 results,\n configured to warn"),
    node("test.firn.adds_up", "pass", 6),
    node("model.firn.mart_shop__sales", "success", 7),
]
EXPORTED = [
    {"rows": 9, "began": at(8).isoformat(), "ended": at(8, 5).isoformat()},
    {"rows": 2, "began": at(8, 5).isoformat(), "ended": at(9).isoformat()},
]


def test_a_good_run() -> None:
    found = layers(run(export="success"), PROJECT, GOOD, LOADS, EXPORTED, ROWS)
    assert found == [
        Layer(
            "source", SUCCESS, at(0), at(1, 30), 1, 10,
            delivered=12, loaded=10, rejected=1, superseded=1, tests_passed=1,
        ),
        Layer(
            "staging", WARNING, at(3), at(5, 30), 1, 9, tests_passed=1, tests_warned=1,
            problems=("test known_product warn: Got 3 results, configured to warn",),
        ),
        Layer("mart", SUCCESS, at(6), at(7, 30), 1, 2, tests_passed=1),
        Layer("export", SUCCESS, at(8), at(9), 2, 11),
    ]  # fmt: skip
    assert [layer.seconds for layer in found] == [90.0, 150.0, 90.0, 60.0]


def test_a_failing_test_holds_back_what_comes_after_it() -> None:
    nodes = [
        *GOOD[:2],
        node("test.firn.unique_orders", "fail", 4, message="Got 1 result"),
        NodeResult("model.firn.mart_shop__sales", "model", "skipped"),
        NodeResult("test.firn.adds_up", "test", "skipped"),
    ]
    states = {"shop__staging__stg_shop__orders": "failed", "export": "upstream_failed"}
    found = {one.layer: one for one in layers(run(**states), PROJECT, nodes, LOADS, None, ROWS)}
    assert found["staging"].status == FAILED
    assert found["staging"].problems == ("test unique_orders fail: Got 1 result",)
    assert (found["mart"].status, found["mart"].tests_skipped) == (NOT_RUN, 1)
    assert found["export"] == Layer("export")


def test_a_load_that_fails_leaves_the_rest_not_run() -> None:
    states = {"ingest__orders__load": "failed", "export": "upstream_failed"}
    found = layers(run(**states), PROJECT, [], Loads(), None, {})
    assert [layer.status for layer in found] == [FAILED, *[NOT_RUN] * 3]
    assert found[0].problems == ("task ingest.orders.load failed: see its log",)
    # What could not be counted is not said to be empty.
    assert found[0].row_count is None


def test_a_refused_file_is_told_with_its_reason() -> None:
    loads = Loads(at(0), at(1), 1, 12, 12, refused=("orders.parquet: it is empty.",))
    found = layers(run(refused="failed"), PROJECT, GOOD, loads, None, ROWS)
    assert found[0].status == FAILED
    assert found[0].problems == (
        "orders.parquet: it is empty.",
        "task refused failed: see its log",
    )
    assert found[-1].layer == "mart"


def test_a_failed_export_is_told() -> None:
    found = layers(run(export="failed"), PROJECT, GOOD, LOADS, None, ROWS)
    assert found[-1] == Layer("export", FAILED, problems=("task export failed: see its log",))


def test_a_layer_that_the_dag_does_not_build_is_left_out() -> None:
    project = Project(sources=[], layers=PROJECT.layers, relations={})
    assert [one.layer for one in layers(run(), project, [], Loads(), None, {})] == ["source"]


def test_a_run_as_a_whole_is_as_its_worst_layer() -> None:
    made = run(export="success")
    found = layers(made, PROJECT, GOOD, LOADS, EXPORTED, ROWS)
    assert whole(made, found, GOOD, at(9, 30)) == Layer("run", WARNING, at(0), at(9, 30))
    good = [found[0], found[-1]]
    assert whole(made, good, GOOD, at(9)).status == SUCCESS


def test_a_failed_task_that_no_layer_explains_is_told_by_the_run() -> None:
    states = {"shop__source_freshness": "failed", "shop__mart__mart_shop__sales": "upstream_failed"}
    made = Run("shop__sales__daily", "manual", "shop", at(0), {
        name.replace("__", ".", 1): {state} for name, state in states.items()
    })  # fmt: skip
    found = layers(made, PROJECT, [], Loads(), None, {})
    told = whole(made, found, [], at(1))
    assert told.status == FAILED
    assert told.problems == ("task shop.source_freshness failed: see its log",)


def test_a_failed_task_is_told_once() -> None:
    nodes = [node("test.firn.unique_orders", "fail", 4, message="Got 1 result")]
    made = run(
        shop__dbt_producer="failed",
        refused="failed",
        ingest__orders__load="failed",
        export="failed",
    )
    found = layers(made, PROJECT, nodes, LOADS, None, ROWS)
    assert whole(made, found, nodes, at(9)) == Layer("run", FAILED, at(0), at(9))
    # Without a failed node there is nothing else that would say so.
    assert whole(made, found, GOOD, at(9)).problems == (
        "task shop.dbt_producer failed: see its log",
    )


def test_the_sources_of_a_run_are_those_with_a_task_that_loads_them() -> None:
    made = run(ingest__orders__load="success", ingest__orders__wait="success", refused="success")
    assert made.loaded_sources == {"orders"}
    assert run(ingest__load="success", ingest__prepare="success").loaded_sources == set()


MANIFEST = {
    "sources": {
        "source.firn.shop.orders": {"source_name": "shop", "relation_name": "RAW.SHOP.orders"},
        "source.firn.shop.visits": {"source_name": "shop", "relation_name": "RAW.SHOP.visits"},
    },
    "nodes": {
        f"model.firn.{name}": {
            "resource_type": "model",
            "original_file_path": f"models/{layer}/shop/{name}.sql",
            "relation_name": f"ANALYTICS.{layer}.{name}",
            "config": {"materialized": "incremental"},
        }
        for layer, name in (
            ("staging", "stg_orders"), ("staging", "stg_visits"), ("mart", "mart_visits"),
        )
    },
    "parent_map": {
        "model.firn.stg_orders": ["source.firn.shop.orders"],
        "model.firn.stg_visits": ["source.firn.shop.visits"],
        "model.firn.mart_visits": ["model.firn.stg_visits"],
    },
}  # fmt: skip


def test_of_a_domain_that_dags_share_each_has_its_own_models_and_sources() -> None:
    visits = Project.read(MANIFEST, "shop", {"model.firn.stg_visits", "model.firn.mart_visits"})
    assert visits.sources == ["RAW.SHOP.visits"]
    assert set(visits.relations) == {"model.firn.stg_visits", "model.firn.mart_visits"}
    assert visits.incremental == set(visits.relations)
    everything = Project.read(MANIFEST, "shop")
    assert everything.sources == ["RAW.SHOP.orders", "RAW.SHOP.visits"]
    assert len(everything.relations) == 3


def test_the_text_has_every_number_and_every_problem() -> None:
    made = run(export="success")
    printed = text(made, layers(made, PROJECT, GOOD, LOADS, EXPORTED, ROWS))
    assert "shop__sales__daily" in printed
    (staging,) = [line for line in printed.splitlines() if "│ staging" in line]
    cells = [cell.strip() for cell in staging.strip("│").split("│")]
    assert cells == [
        "staging", "warning", "06:03:00", "06:05:30", "150.0", "1", "9", "-", "-",
        "1 passed, 1 warned",
    ]  # fmt: skip
    assert printed.splitlines()[-1] == (
        "staging: test known_product warn: Got 3 results, configured to warn"
    )


def test_a_number_at_the_end_of_a_name_is_an_index_of_mapped_tasks_alone() -> None:
    found = {"mart.mart_top_10": "success", "ingest.load_0": "success", "ingest.load_11": "failed"}
    assert states_by_task(found, ["mart.mart_top_10", "ingest.load"]) == {
        "mart.mart_top_10": {"success"},
        "ingest.load": {"success", "failed"},
    }
