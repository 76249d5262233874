"""The affiliate pipelines through real Airflow, on a real local warehouse of their own.

The tests of this file build on each other's warehouse in the order they stand in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.orchestration import local_airflow
from include.orchestration.environment import airflow_environment
from include.orchestration.local_warehouse import start_warehouse, stop_warehouse
from include.orchestration.single_run import run_dag
from include.sample_data import affiliate
from include.warehouse.connection import ConnectionSettings, connect
from tests.conftest import free_port
from tests.e2e.scheduler import Scheduler, scheduler

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WEB, SCRAPERS, COMMISSION = (
    f"affiliate__{name}__daily" for name in ("web_traffic", "scrapers", "commission")
)
DAY = "2025-01-05"


@dataclass(frozen=True)
class Pipelines:
    settings: ConnectionSettings
    variables: dict[str, str]

    @property
    def landing(self) -> Path:
        return self.settings.home / "landing" / "affiliate"

    def deliver(self, source: str, name: str, *lines: str) -> None:
        unfinished = self.landing / source / f".{name}"
        unfinished.write_text("\n".join(lines) + "\n", "utf-8")
        unfinished.rename(self.landing / source / name)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with connect(self.settings) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

    def commission(self, source: str) -> float:
        [(amount,)] = self.sql(
            "select coalesce(sum(commission_total), 0)"
            " from analytics_dev.test_mart.mart_affiliate__web_traffic_daily"
            f" where marketing_source = '{source}'"
        )
        return float(amount)


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipelines]:
    settings = ConnectionSettings(
        firn_home=tmp_path_factory.mktemp("firn"), firn_local_port=free_port(), firn_user="test"
    )
    os.environ["FIRN_AIRFLOW_PORT"] = str(free_port())
    variables = airflow_environment(headless=True, settings=settings)
    try:
        assert start_warehouse(variables)
        found = Pipelines(settings, variables)
        affiliate.deliver(settings.home / "landing", days=2, rows=60)
        for file in (found.landing / "manual").iterdir():
            file.unlink()
        local_airflow.prepare(variables)
        yield found
    finally:
        stop_warehouse(variables)
        del os.environ["FIRN_AIRFLOW_PORT"]


def test_web_traffic_is_built_without_the_source_that_may_miss(pipelines: Pipelines) -> None:
    outcome = run_dag(WEB, pipelines.variables)
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    skipped = {task for task, state in outcome.tasks.items() if state == "skipped"}
    assert skipped == {"ingest.manual.wait", "ingest.manual.load"}
    assert {state for task, state in outcome.tasks.items() if task not in skipped} == {"success"}
    assert outcome.tasks["publish"] == "success"
    # Nobody delivered by hand, but the raw table is there for the models.
    assert pipelines.sql("select count(*) from raw.affiliate.manual") == [(0,)]

    # The loaded events are archived, the slowly changing sources stay.
    assert list((pipelines.landing / "routy").iterdir()) == []
    archived = pipelines.landing.parent / "archive" / "affiliate"
    names = sorted(file.name.split("-", 2)[2] for file in (archived / "routy").iterdir())
    assert names == ["2024-12-26.csv", "2024-12-27.csv"]
    assert [file.name for file in (pipelines.landing / "deals").iterdir()] == ["deals.csv"]
    assert not (archived / "deals").exists()

    rejected = pipelines.sql(
        "select column_name, count(*) from raw.meta.rejected_rows where source = 'routy'"
        " group by 1 order by 1"
    )
    assert rejected == [("date", 2), ("visits", 2)]
    assert pipelines.commission("Beacon 1") != 0


def test_commissions_are_built_when_both_pipelines_have_finished_for_the_day(
    pipelines: Pipelines,
) -> None:
    before = pipelines.commission("Cove 2")
    with scheduler(pipelines.variables) as airflow:
        for dag in (WEB, SCRAPERS, COMMISSION):
            _once(90, lambda dag=dag: airflow.unpause(dag))

        # A correction of the deals alone; by hand something is still expected.
        pipelines.deliver(
            "deals", "corrected.csv", "MarketingSource,Deal,Comments", "Cove 2,CPA,+ 1000"
        )
        others = ["routy", "voluum", "voluum_mapper", "central_mapping"]
        web = airflow.trigger(WEB, DAY, exclude_sources=others)
        _once(240, lambda: _assert_states(airflow, web, "deferred", "ingest.manual.wait"))
        _once(60, lambda: _assert_states(airflow, web, "success", "ingest.deals.load"))
        excluded = [f"ingest.{name}.{task}" for name in others for task in ("wait", "load")]
        _once(60, lambda: _assert_states(airflow, web, "skipped", *excluded))

        scraped = airflow.trigger(SCRAPERS, DAY)
        _once(300, lambda: _assert_ended(airflow, SCRAPERS, scraped))
        assert airflow.runs(COMMISSION) == [], "it has not waited for the web traffic"

        pipelines.deliver(
            "manual",
            "2024-12-26.csv",
            "Date,MarketingSource,Operator,RawEarnings,Visits,Signups",
            "2024-12-26,Cove 2,Lucky Bay,0.5,1,1",
        )
        _once(300, lambda: _assert_ended(airflow, WEB, web))
        _once(300, lambda: _assert_day_is_built(airflow))

    [(events, added)] = pipelines.sql(
        "select event_count, commission_total - raw_earnings from"
        " analytics_dev.test_mart.mart_affiliate__web_traffic_daily"
        " where marketing_source = 'Cove 2' and event_date = '2024-12-26'"
    )
    assert added == 1000 * events
    assert pipelines.commission("Cove 2") > before + 1000
    families = pipelines.sql(
        "select count_if(scrapers_total <> 0), count_if(web_traffic_total <> 0)"
        " from analytics_dev.test_mart.mart_affiliate__commission_daily"
    )
    assert all(count > 0 for count in families[0])


def _once(seconds: float, attempt: Any) -> None:
    """Try until it works."""
    for one in Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(1), reraise=True):
        with one:
            attempt()


def _assert_states(airflow: Scheduler, run: str, state: str, *tasks: str) -> None:
    states = airflow.tasks(WEB, run)
    assert {states.get(task) for task in tasks} == {state}, states


def _assert_ended(airflow: Scheduler, dag: str, run: str) -> None:
    states = {one["dag_run_id"]: one["state"] for one in airflow.runs(dag)}
    assert states[run] == "success", (states, airflow.tasks(dag, run))


def _assert_day_is_built(airflow: Scheduler) -> None:
    runs = airflow.runs(COMMISSION)
    assert [(run["partition_key"], run["run_type"]) for run in runs] == [(DAY, "asset_triggered")]
    assert runs[0]["state"] == "success", airflow.tasks(COMMISSION, runs[0]["dag_run_id"])
