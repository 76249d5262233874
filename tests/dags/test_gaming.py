"""The two gaming DAGs: their settings, and what each of them builds and tests."""

from __future__ import annotations

from typing import Any

from include.project.manifest import tests_by_owner as owners_of_tests

PURCHASES, ACTIVITY = "gaming__purchases__5min", "gaming__user_activity__hourly"


def _tasks(parsed: dict[str, Any], dag: str) -> dict[str, dict[str, Any]]:
    tasks: dict[str, dict[str, Any]] = parsed["dags"][dag]["tasks"]
    return tasks


def test_they_keep_their_schedules_and_retries(scheduled: dict[str, Any]) -> None:
    assert scheduled["dags"][PURCHASES]["schedule"] == "*/5 * * * *"
    assert scheduled["dags"][ACTIVITY]["schedule"] == "0 * * * *"
    for dag, minutes in ((PURCHASES, 8), (ACTIVITY, 60)):
        assert scheduled["dags"][dag]["run_timeout_minutes"] == minutes
        retried = {task["retries"] for task in _tasks(scheduled, dag).values()}
        assert retried == {0, 1}
        pauses = {task["retry_minutes"] for task in _tasks(scheduled, dag).values()}
        assert 1 in pauses


def test_each_builds_its_own_models(scheduled: dict[str, Any]) -> None:
    built = {
        dag: {task for task in _tasks(scheduled, dag) if task.startswith("gaming.")}
        for dag in (PURCHASES, ACTIVITY)
    }
    both = {
        "gaming.changes",
        "gaming.source_freshness",
        "gaming.dbt_producer_watcher",
        "gaming.dbt_producer_watcher_done",
        "gaming.staging.stg_gaming__rejected",
        "gaming.staging.stg_gaming__purchases",
    }
    assert built[PURCHASES] == both | {"gaming.staging.stg_gaming__purchase_places"}
    assert built[ACTIVITY] == both | {
        "gaming.staging.stg_gaming__spin_places",
        "gaming.staging.stg_gaming__spins_hourly",
        "gaming.intermediate.int_gaming__activity_hourly",
        "gaming.mart.mart_user_activity_hourly",
    }


def test_nothing_is_waited_for_and_the_second_is_started_last(scheduled: dict[str, Any]) -> None:
    tasks = _tasks(scheduled, PURCHASES)
    assert not [task for task in tasks if task.endswith(".wait")]
    assert tasks["ingest.purchases.load"]["upstream"] == ["ingest.prepare"]
    assert tasks["follow_up.trigger"]["upstream"] == ["follow_up.check_freshness"]
    assert "gaming.staging.stg_gaming__purchases" in tasks["follow_up.check_freshness"]["upstream"]


def test_a_test_runs_where_all_that_it_reads_is_built(manifest: dict[str, Any]) -> None:
    model = "model.firn."
    purchases = {
        f"{model}stg_gaming__purchase_places",
        f"{model}stg_gaming__purchases",
        f"{model}stg_gaming__rejected",
    }
    activity = {
        f"{model}stg_gaming__spin_places",
        f"{model}stg_gaming__spins_hourly",
        f"{model}stg_gaming__purchases",
        f"{model}int_gaming__activity_hourly",
        f"{model}stg_gaming__rejected",
        f"{model}mart_user_activity_hourly",
    }

    def names(selected: set[str]) -> set[str]:
        owned = owners_of_tests(manifest, selected)
        return {test.split(".")[2] for tests in owned.values() for test in tests}

    first, second = names(purchases), names(activity)
    assert "assert_gaming_purchases_are_accounted_for" in first
    assert "unique_stg_gaming__purchases_transaction_id" in first
    assert "assert_gaming_spins_are_accounted_for" not in first
    assert not any("stg_gaming__spins" in test for test in first)
    assert "assert_gaming_spins_are_accounted_for" in second
    assert any(test.startswith("relationships_stg_gaming__purchases") for test in second)
    everything = owners_of_tests(manifest)
    gaming = {
        test.split(".")[2]
        for tests in everything.values()
        for test in tests
        if "gaming" in test or "mart_user_activity" in test
    }
    assert first | second >= gaming
