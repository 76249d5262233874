"""What every DAG has to keep to, read from the DAG folder as Airflow reads it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from include.delivery.deployment.pipelines import TAGS
from include.orchestration.rejected_rows import lists_rejected_rows
from include.project.paths import REPOSITORY

FILES = sorted(path for path in (REPOSITORY / "dags").glob("*.py"))


def test_there_are_dags_and_all_of_them_import(scheduled: dict[str, Any]) -> None:
    assert scheduled["import_errors"] == {}
    assert sorted(scheduled["dags"]) == [path.stem for path in FILES]
    assert FILES


def test_parsing_starts_no_program_and_opens_no_connection(scheduled: dict[str, Any]) -> None:
    assert scheduled["forbidden"] == []


@pytest.mark.parametrize(
    "module",
    ["dbt.cli", "dbt.adapters.snowflake", "pandas", "pyarrow", "duckdb", "fakesnow", "slack_sdk"],
)
def test_parsing_imports_nothing_heavy(scheduled: dict[str, Any], module: str) -> None:
    loaded = [
        name for name in scheduled["modules"] if name == module or name.startswith(module + ".")
    ]
    assert loaded == []
    assert "include.orchestration.dbt_tasks" in scheduled["modules"]


def test_a_dag_is_named_after_its_file_domain_pipeline_and_schedule(
    scheduled: dict[str, Any],
) -> None:
    for dag_id, dag in scheduled["dags"].items():
        assert Path(dag["file"]).stem == dag_id
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*__[a-z0-9_]+?__[a-z0-9]+", dag_id)


def test_a_dag_is_of_a_domain_or_of_the_platform(scheduled: dict[str, Any]) -> None:
    domains = {path.name for path in (REPOSITORY / "dbt" / "models" / "staging").iterdir()}
    for dag_id in scheduled["dags"]:
        assert dag_id.split("__")[0] in domains - {"meta"} | {"platform"}, dag_id


def test_maintenance_runs_at_night_and_can_be_asked_only_to_count(
    scheduled: dict[str, Any],
) -> None:
    dag = scheduled["dags"]["platform__maintenance__daily"]
    assert dag["schedule"] == "30 3 * * *"
    assert (dag["params"]["dry_run"]["type"], set(dag["params"])) == ("boolean", {"dry_run"})
    assert set(dag["tasks"]) == {"clear_tables", "clear_stage", "clear_files"}
    # What one cannot clear does not keep the others from their work.
    assert not any(task["upstream"] for task in dag["tasks"].values())
    assert dag["late_minutes"] == [120]


def test_runs_do_not_pile_up(scheduled: dict[str, Any]) -> None:
    for dag_id, dag in scheduled["dags"].items():
        assert dag["catchup"] is False, dag_id
        assert dag["max_active_runs"] == 1, dag_id


def test_every_dag_says_what_it_does_and_to_whom_it_belongs(scheduled: dict[str, Any]) -> None:
    for dag_id, dag in scheduled["dags"].items():
        docstring = ast.get_docstring(ast.parse(Path(dag["file"]).read_text()))
        assert docstring, dag_id
        assert docstring.splitlines()[0] in dag["doc_md"], dag_id
        assert dag_id.split("__")[0] in dag["tags"], dag_id
        owners = {task["owner"] for task in dag["tasks"].values()}
        assert owners == {"analytics-engineering"}, dag_id


def test_a_deployment_pauses_every_dag(scheduled: dict[str, Any]) -> None:
    """All of them write into ANALYTICS, which is swapped."""
    for dag_id, dag in scheduled["dags"].items():
        assert set(dag["tags"]) & set(TAGS), dag_id


def test_every_task_is_retried_and_bounded(scheduled: dict[str, Any]) -> None:
    for dag in scheduled["dags"].values():
        for task_id, task in dag["tasks"].items():
            assert task["timeout"], task_id
            # These fail for good reasons alone: what a person entered, delivered or asked for.
            if task_id in {"check_mode", "refused", "dbt"}:
                assert task["retries"] == 0, task_id
            else:
                assert 1 <= task["retries"] <= 5, task_id
                assert 1 <= task["retry_minutes"] <= 15, task_id


def test_every_failed_task_and_run_and_every_late_run_is_told_of(scheduled: dict[str, Any]) -> None:
    for dag_id, dag in scheduled["dags"].items():
        assert dag["alerts"] == ["run_failed", "run_succeeded", "run_is_late"], dag_id
        assert all(5 < minutes <= 24 * 60 for minutes in dag["late_minutes"]), dag_id
        for task_id, task in dag["tasks"].items():
            # Cosmos adds one of its own to the task that runs dbt.
            assert "task_failed" in task["alerts"], f"{dag_id}.{task_id}"


def test_every_pipeline_tells_what_it_did_and_hides_no_failure(scheduled: dict[str, Any]) -> None:
    for dag_id, dag in scheduled["dags"].items():
        tasks = dag["tasks"]
        if dag_id.startswith("platform__"):
            assert_no_failure_is_hidden(dag_id, tasks)
            continue
        assert tasks["summary"]["trigger_rule"] == "all_done", dag_id
        # Airflow takes the state of a run from its last tasks: not from this one alone.
        others = {
            name
            for name in tasks
            if name != "summary" and not any(name in task["upstream"] for task in tasks.values())
        }
        rules = {tasks[name]["trigger_rule"] for name in others}
        assert rules & {"all_success", "none_failed"}, dag_id
        assert not any("summary" in task["upstream"] for task in tasks.values()), dag_id


def assert_no_failure_is_hidden(dag_id: str, tasks: dict[str, Any]) -> None:
    """Each task that may fail is, or is before, a last task that is not green whatever happened."""
    before = {name: set(task["upstream"]) for name, task in tasks.items()}
    last = [
        name
        for name, task in tasks.items()
        if task["trigger_rule"] != "all_done"
        and not any(name in upstream for upstream in before.values())
    ]
    seen, open_tasks = set(last), list(last)
    while open_tasks:
        for name in before[open_tasks.pop()] - seen:
            seen.add(name)
            open_tasks.append(name)
    # Besides these there are tasks that are last themselves, and tell of their own failure.
    assert set(tasks) - seen <= {name for name in tasks if name == "report"}, dag_id


def test_rows_that_models_reject_are_told_of_by_the_dags_that_build_them(
    scheduled: dict[str, Any], manifest: dict[str, Any]
) -> None:
    listing = {name: one for name, one in manifest["nodes"].items() if lists_rejected_rows(one)}
    named = {name for name in manifest["nodes"] if re.search(r"^model\..*_rejected", name)}
    assert set(listing) == named
    for name, node in listing.items():
        assert {"load_id", "loaded_at"} <= set(node["columns"]), name
    told: set[str] = set()
    for dag_id, dag in scheduled["dags"].items():
        tasks = dag["tasks"]
        lists = {task_id for task_id, task in tasks.items() if task["node"] in listing}
        assert set(tasks.get("rejected", {"upstream": []})["upstream"]) == lists, dag_id
        assert not any("rejected" in task["upstream"] for task in tasks.values()), dag_id
        told |= {tasks[task_id]["node"] for task_id in lists}
    assert told == named


def test_a_headless_run_waits_for_no_retry(headless: dict[str, Any]) -> None:
    for dag in headless["dags"].values():
        assert {task["retries"] for task in dag["tasks"].values()} == {0}


def test_the_start_date_does_not_depend_on_when_a_file_is_read(scheduled: dict[str, Any]) -> None:
    dates = {dag["start_date"] for dag in scheduled["dags"].values()}
    assert dates == {"2025-01-01 00:00:00+00:00"}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_dag_file_has_no_dbt_configuration_of_its_own(file: Path) -> None:
    assert not re.search(r"\bcosmos\b|profiles\.yml|dbt_project", file.read_text())


def test_no_pipeline_runs_unit_tests(scheduled: dict[str, Any]) -> None:
    building = {
        f"{dag_id}.{name}": task["dbt_leaves_out"]
        for dag_id, dag in scheduled["dags"].items()
        for name, task in dag["tasks"].items()
        # A model's task too: tried again, it builds its model itself.
        if task["node"] or name.endswith("dbt_producer_watcher")
    }
    assert len(building) > 50
    assert set(building.values()) == {"unit_test"}


def test_what_firn_loads_is_built_when_something_has_changed(scheduled: dict[str, Any]) -> None:
    tasks = {dag_id: dag["tasks"] for dag_id, dag in scheduled["dags"].items()}

    def having(task: str) -> set[str]:
        return {dag_id for dag_id, of in tasks.items() if any(one.endswith(task) for one in of)}

    looking = having(".changes")
    # Nobody records when the tables of Snowflake's sample change.
    unknown = {"tpch__orders__4h", "platform__cost__daily"}
    assert looking == having(".dbt_producer_watcher") - unknown
    assert len(looking) >= 7
    for dag_id in looking:
        domain = dag_id.partition("__")[0]
        producer = tasks[dag_id][f"{domain}.dbt_producer_watcher"]
        assert producer["upstream"] == [f"{domain}.changes"]


def test_the_orders_pipeline_keeps_its_schedule(scheduled: dict[str, Any]) -> None:
    dag = scheduled["dags"]["tpch__orders__4h"]
    assert dag["schedule"] == "0 */4 * * *"
    assert dag["start_date"].startswith("2025-01-01")
    assert {task["retries"] for task in dag["tasks"].values()} == {0, 2}


def test_customer_transactions_are_merged_by_mapped_tasks_with_growing_pauses(
    scheduled: dict[str, Any],
) -> None:
    dag = scheduled["dags"]["forex__customer_transactions__hourly"]
    assert dag["schedule"] == "0 * * * *"
    assert [name for name, task in dag["tasks"].items() if task["mapped"]] == ["ingest.load"]
    for name, task in dag["tasks"].items():
        if name not in {"check_mode", "refused"}:
            assert (task["retries"], task["retry_minutes"]) == (3, 1), name
            assert task["longest_retry_minutes"] == 15, name


def test_every_pipeline_can_be_rebuilt_whole_or_in_a_range(scheduled: dict[str, Any]) -> None:
    for dag_id, dag in scheduled["dags"].items():
        if dag_id.startswith("platform__"):
            continue
        assert dag["params"]["is_full_refresh"]["type"] == "boolean", dag_id
        for bound in ("backfill_start_date", "backfill_end_date"):
            pattern = dag["params"][bound]["pattern"]
            assert re.fullmatch(pattern, "2026-02-28 23:59:59"), dag_id
            for wrong in ("2026-02-28", "2026-13-01 00:00:00", "28-02-2026 00:00:00"):
                assert not re.fullmatch(pattern, wrong), dag_id
        assert dag["tasks"]["check_mode"]["upstream"] == [], dag_id
        (build,) = (
            task
            for task_id, task in dag["tasks"].items()
            if task_id.endswith(".dbt_producer_watcher")
        )
        assert build["full_refresh"] == "{{ params.is_full_refresh }}", dag_id
        assert build["vars"] == {
            "backfill_start": "{{ params.backfill_start_date or '' }}",
            "backfill_end": "{{ params.backfill_end_date or '' }}",
        }, dag_id
