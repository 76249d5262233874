"""The gaming pipelines through real Airflow, on a local warehouse and an operational database.

The tests go on from one another, in this order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy.engine import Engine
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.airflow.environment import SLACK
from include.domains.gaming import sample as gaming
from include.ingestion.database import database_url, open_engine
from include.ingestion.loader import load_source
from include.ingestion.sources import load_domain
from include.orchestration.single_run import DagRunOutcome
from include.project.builds import builds_folder, read_run_results
from tests.e2e.airflow import Prepared, prepared
from tests.e2e.scheduler import Scheduler, scheduler
from tests.slack import PROXIES, Slack, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PURCHASES, ACTIVITY = "gaming__purchases__5min", "gaming__user_activity__hourly"
START = "backfill_start_date"
RANGE = {
    START: "2022-04-01 00:00:00",
    "backfill_end_date": "2022-04-02 00:00:00",
}


@dataclass(frozen=True)
class Pipeline(Prepared):
    """All of it, connected to a Slack.

    Attributes:
        slack: keeps the messages that runs send.
    """

    slack: Slack

    def run(self, dag: str, **conf: Any) -> tuple[DagRunOutcome, list[str]]:
        """A run and the messages it sends."""
        before = len(self.slack.texts)
        # The same environment for every run, so that one process does them all.
        variables = {name: value for name, value in self.variables.items() if name not in PROXIES}
        variables[SLACK] = self.slack.connection
        return self.run_dag(dag, variables=variables, **conf), self.slack.texts[before:]

    def operational(self) -> Engine:
        """The game's database, a SQLite file, which has no schemas."""
        engine = open_engine(database_url("gaming", self.settings), "gaming")
        return engine.execution_options(schema_translate_map={gaming.SCHEMA: None})

    def mart(self) -> list[tuple[Any, ...]]:
        rows = self.sql("select * from analytics_dev.test_mart.mart_user_activity_hourly")
        return sorted(rows, key=repr)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with prepared(tmp_path_factory.mktemp("firn")) as here, serving() as slack:
        found = Pipeline(here.settings, here.variables, slack)
        gaming.fill(20, 2, settings=found.settings)
        yield found


def test_purchases_then_spins_become_activity(pipeline: Pipeline) -> None:
    moment = gaming.BEGINNING
    with pipeline.operational().begin() as connection:
        connection.execute(
            gaming.PURCHASES.insert().values(
                timestamp=moment,
                user_id="AA00AKF",
                transaction_id="free of charge",
                revenue="PriceInUSD=free",
                created_at=moment,
                updated_at=moment,
            )
        )
    purchases, told = pipeline.run(PURCHASES)
    assert purchases.succeeded, "\n".join(purchases.last_lines(40))
    skipped = {task for task, state in purchases.tasks.items() if state == "skipped"}
    assert skipped == {"follow_up.check_freshness", "follow_up.trigger"}
    built = {
        node.name: node for node in read_run_results(builds_folder(PURCHASES, pipeline.variables))
    }
    assert built["assert_gaming_purchases_are_accounted_for"].status == "pass"
    # It reads what the other DAG builds.
    assert not any("relationships" in name for name in built)
    [(rejected, delivered)] = pipeline.sql(
        "select (select count(*) from analytics_dev.test_staging.stg_gaming__rejected), delivered"
        " from RAW.META.LOADS where source = 'purchases'"
    )
    (message,) = told
    assert message.splitlines()[:3] == [
        f":large_orange_circle: *Rows rejected*: {PURCHASES}",
        f"gaming.purchases: {rejected} of {delivered:,} rows",
        "Why: `ANALYTICS_DEV.test_staging.stg_gaming__rejected`",
    ]
    assert rejected > 0

    load_source(load_domain("gaming").source("spins_hourly"), settings=pipeline.settings)
    pipeline.sql("update RAW.META.COMPARISONS set compared_at = dateadd(hour, -2, compared_at)")
    with pipeline.operational().begin() as connection:
        # A row that arrives two days too late for the watermark.
        late = dict.fromkeys(("timestamp", "created_at", "updated_at"), moment)
        spins = {"user_id": "ZZ99ZKF", "country": "US", "total_spins": 1234.5}
        connection.execute(gaming.SPINS.insert().values(**late, **spins))
    activity, told = pipeline.run(ACTIVITY)
    assert activity.succeeded, "\n".join(activity.last_lines(40))
    assert set(activity.tasks.values()) == {"success"}
    # The list still holds the rejected purchases, but this run did not bring them.
    (message,) = told
    assert message.splitlines()[:2] == [
        f":large_orange_circle: *Source and raw differ*: {ACTIVITY}",
        "gaming.spins_hourly: 1 row that had come too late, loaded now",
    ]
    assert pipeline.sql(
        "select total_spins_hourly from analytics_dev.test_mart.mart_user_activity_hourly"
        " where user_id = 'ZZ99ZKF'"
    ) == [(1235,)]
    built = {
        node.name: node for node in read_run_results(builds_folder(ACTIVITY, pipeline.variables))
    }
    assert built["assert_gaming_spins_are_accounted_for"].status == "pass"
    assert any("relationships" in name for name in built)
    assert pipeline.sql(
        "select sum(total_revenue_hourly), sum(total_purchases_amount_hourly)"
        " from analytics_dev.test_mart.mart_user_activity_hourly"
    ) == pipeline.sql(
        "select sum(revenue), count(*) from analytics_dev.test_staging.stg_gaming__purchases"
    )


BUILDING = {
    "gaming.dbt_producer_watcher",
    "gaming.staging.stg_gaming__purchase_places",
    "gaming.staging.stg_gaming__purchases",
    "gaming.staging.stg_gaming__rejected",
    "rejected",
}
FOLLOW_UP = {"follow_up.check_freshness", "follow_up.trigger"}


def test_nothing_is_built_when_nothing_has_changed_since_the_last_good_build(
    pipeline: Pipeline,
) -> None:
    staged = "analytics_dev.test_staging.stg_gaming__purchase_places"
    columns = "user_id, app_hour, revenue, purchased_at, loaded_at, is_current, staged_at"
    pipeline.sql(
        f"insert into {staged} (transaction_id, {columns})"
        f" select 'nobody has paid this', {columns} from {staged} where is_current limit 1"
    )
    # The other DAG has loaded spins, so there is something to build. A test of it fails.
    failed, _ = pipeline.run(PURCHASES)
    assert failed.tasks["gaming.staging.stg_gaming__purchases"] == "failed"
    pipeline.sql(f"delete from {staged} where transaction_id = 'nobody has paid this'")
    loads = pipeline.sql("select count(*) from RAW.META.LOADS")

    # Nothing new, but the last build was not a good one.
    repaired, _ = pipeline.run(PURCHASES)
    assert repaired.succeeded, "\n".join(repaired.last_lines(40))
    assert {repaired.tasks[task] for task in BUILDING} == {"success"}

    unchanged, told = pipeline.run(PURCHASES)
    assert unchanged.succeeded, "\n".join(unchanged.last_lines(40))
    skipped = {task for task, state in unchanged.tasks.items() if state == "skipped"}
    assert skipped == BUILDING | FOLLOW_UP
    assert told == []
    assert pipeline.sql("select count(*) from RAW.META.LOADS") == loads
    assert pipeline.sql(
        "select status from RAW.META.RUN_SUMMARY where dag_id = 'gaming__purchases__5min'"
        " and layer = 'staging' order by recorded_at"
    ) == [("success",), ("failed",), ("success",), ("unchanged",)]


def test_half_a_range_is_refused_and_nothing_changes(pipeline: Pipeline) -> None:
    before = pipeline.sql("select count(*) from RAW.META.LOADS")
    refused, _ = pipeline.run(PURCHASES, backfill_start_date="2022-04-01 00:00:00")
    assert not refused.succeeded
    assert "backfill_start_date is given without backfill_end_date" in refused.log.read_text()
    assert refused.tasks.pop("refused") == "success"
    assert refused.tasks.pop("check_mode") == "failed"
    assert refused.tasks.pop("summary") == "success"
    assert set(refused.tasks.values()) <= {"upstream_failed", "skipped"}
    assert pipeline.sql("select count(*) from RAW.META.LOADS") == before


def test_a_range_is_passed_on_and_only_its_rows_change(pipeline: Pipeline) -> None:
    rows = pipeline.mart()
    outside = [row for row in rows if row[0].day != 1]
    assert outside != rows
    with pipeline.operational().begin() as connection:
        # Without a time of change, so that only a range finds it.
        connection.execute(
            gaming.PURCHASES.update()
            .where(gaming.PURCHASES.c.revenue == "PriceInUSD=1.99")
            .values(revenue="PriceInUSD=2.99")
        )
    with scheduler(pipeline.variables) as airflow:
        run = _triggered(airflow)
    assert run["conf"] == {"is_full_refresh": False, **RANGE}
    assert run["state"] == "success"
    assert [row for row in pipeline.mart() if row[0].day != 1] == outside
    assert pipeline.mart() != rows
    prices = pipeline.sql(
        "select revenue_text, purchased_at < '2022-04-02', count(*)"
        " from analytics_dev.test_staging.stg_gaming__purchases"
        " where revenue in (1.99, 2.99) group by 1, 2"
    )
    assert {(text, inside) for text, inside, _ in prices} == {
        ("PriceInUSD=2.99", True),
        ("PriceInUSD=1.99", False),
    }


def _triggered(airflow: Scheduler) -> dict[str, Any]:
    """Run the first DAG over a range; the run of the second that it starts, once it is over."""
    for attempt in Retrying(stop=stop_after_delay(120), wait=wait_fixed(1), reraise=True):
        with attempt:
            for dag in (ACTIVITY, PURCHASES):
                airflow.call(f"dags/{dag}")
    body = {"logical_date": None, "conf": {**RANGE, "is_full_refresh": False}}
    airflow.call(f"dags/{PURCHASES}/dagRuns", "POST", body)
    for dag in (PURCHASES, ACTIVITY):
        airflow.unpause(dag)
    found: dict[str, Any] = {}
    for attempt in Retrying(stop=stop_after_delay(400), wait=wait_fixed(1), reraise=True):
        with attempt:
            _end_scheduled_runs(airflow)
            runs = [run for run in airflow.runs(ACTIVITY) if (run["conf"] or {}).get(START)]
            assert runs
            assert runs[0]["state"] in {"success", "failed"}, runs[0]
            found = runs[0]
    return found


def _end_scheduled_runs(airflow: Scheduler) -> None:
    """What the schedule starts when a DAG is switched on would only come before the range."""
    for dag in (PURCHASES, ACTIVITY):
        for run in airflow.runs(dag):
            if run["run_type"] == "scheduled" and run["state"] in {"queued", "running"}:
                path = f"dags/{dag}/dagRuns/{quote(run['dag_run_id'])}"
                airflow.call(path, "PATCH", {"state": "failed"})
