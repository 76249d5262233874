"""The affiliate pipelines through real Airflow, on a real local warehouse of their own.

The tests of this file build on each other's warehouse in the order they stand in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.domains.affiliate import sample as affiliate
from tests.e2e.airflow import Prepared, prepared
from tests.e2e.scheduler import Scheduler, scheduler

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WEB, SCRAPERS, COMMISSION = (
    f"affiliate__{name}__daily" for name in ("web_traffic", "scrapers", "commission")
)
PATIENCE_SECONDS = 600


class Pipelines(Prepared):
    @property
    def landing(self) -> Path:
        return self.settings.home / "landing" / "affiliate"

    def deliver(self, source: str, name: str, *lines: str) -> None:
        unfinished = self.landing / source / f".{name}"
        unfinished.write_text("\n".join(lines) + "\n", "utf-8")
        unfinished.rename(self.landing / source / name)

    def commission(self, source: str) -> float:
        [(amount,)] = self.sql(
            "select coalesce(sum(commission_total), 0)"
            " from analytics_dev.test_mart.mart_affiliate__web_traffic_daily"
            f" where marketing_source = '{source}'"
        )
        return float(amount)


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipelines]:
    with prepared(tmp_path_factory.mktemp("firn")) as here:
        found = Pipelines(here.settings, here.variables)
        affiliate.deliver(found.settings.home / "landing", days=2, rows=60)
        for file in (found.landing / "manual").iterdir():
            file.unlink()
        yield found


def test_web_traffic_is_built_without_what_may_miss_and_what_is_excluded(
    pipelines: Pipelines,
) -> None:
    outcome = pipelines.run_dag(WEB, exclude_sources=["voluum"])
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    skipped = {task for task, state in outcome.tasks.items() if state == "skipped"}
    assert skipped == {
        f"ingest.{source}.{task}" for source in ("manual", "voluum") for task in ("wait", "load")
    }
    assert {state for task, state in outcome.tasks.items() if task not in skipped} == {"success"}
    assert outcome.tasks["publish"] == "success"
    # Nothing came of them, but the raw tables are there for the models.
    for source in ("manual", "voluum"):
        assert pipelines.sql(f"select count(*) from raw.affiliate.{source}") == [(0,)]
    assert len(list((pipelines.landing / "voluum").iterdir())) == 2

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
    pipelines.deliver(
        "deals", "corrected.csv", "MarketingSource,Deal,Comments", "Cove 2,CPA,+ 1000"
    )
    with scheduler(pipelines.variables) as airflow:
        # Switched on, each of the two DAGs starts its run of the last morning.
        for dag in (WEB, SCRAPERS, COMMISSION):
            eventually(partial(airflow.unpause, dag))

        # Something may still be entered by hand: that is waited for, without a worker.
        eventually(lambda: assert_states(airflow, WEB, "deferred", "ingest.manual.wait"))
        eventually(lambda: assert_ended(airflow, SCRAPERS))
        eventually(lambda: assert_states(airflow, WEB, "success", "ingest.deals.load"))
        # Taken by the run of before, and not waited for again.
        assert_states(airflow, WEB, "success", "ingest.routy.wait")
        assert_states(airflow, WEB, "deferred", "ingest.manual.wait")
        assert airflow.runs(COMMISSION) == [], "it has not waited for the web traffic"

        pipelines.deliver(
            "manual",
            "2024-12-26.csv",
            "Date,MarketingSource,Operator,RawEarnings,Visits,Signups",
            "2024-12-26,Cove 2,Lucky Bay,0.5,1,1",
        )
        eventually(lambda: assert_ended(airflow, WEB))
        eventually(lambda: assert_ended(airflow, COMMISSION))
        days = {airflow.last_run(dag)["partition_key"] for dag in (WEB, SCRAPERS, COMMISSION)}
        assert len(days) == 1
        assert datetime.fromisoformat(days.pop()).year >= 2026
        assert airflow.last_run(COMMISSION)["run_type"] == "asset_triggered"
        assert len(airflow.runs(COMMISSION)) == 1

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


def eventually(attempt: Callable[[], None]) -> None:
    """Try until it works."""
    for one in Retrying(stop=stop_after_delay(PATIENCE_SECONDS), wait=wait_fixed(1), reraise=True):
        with one:
            attempt()


def assert_states(airflow: Scheduler, dag: str, state: str, *tasks: str) -> None:
    states = airflow.tasks(dag, airflow.last_run(dag)["dag_run_id"])
    assert {states.get(task) for task in tasks} == {state}, states


def assert_ended(airflow: Scheduler, dag: str) -> None:
    run = airflow.last_run(dag)
    assert run["state"] == "success", (run, airflow.tasks(dag, run["dag_run_id"]))
