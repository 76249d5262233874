"""Faults that are injected into running pipelines, and which message came of each.

A fortnight of deliveries lies in the warehouse. The hourly monitoring runs over it, with nothing to
tell. Then faults are injected, the pipeline and the monitoring run once more, and each fault has
its message. With Elementary where its packages are at hand; the tests of the rest run everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.airflow.environment import SLACK
from include.domains.forex import sample as forex
from include.retention.run import clear_tables
from include.retention.tables import ELEMENTARY
from include.warehouse import ledgers
from tests.e2e.airflow import Prepared, prepared
from tests.slack import PROXIES, Slack, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MONITORING = "platform__monitoring__hourly"
FOREX = "forex__customer_transactions__hourly"
RAW = "raw.forex.customer_transactions"
TRANSACTIONS = "analytics_dev.test_intermediate.int_forex__transactions"
DAYS = 15


@dataclass(frozen=True)
class Platform(Prepared):
    slack: Slack

    def messages(self) -> list[str]:
        """What Slack got since the last call."""
        texts = list(self.slack.texts)
        self.slack.texts.clear()
        return texts


@contextmanager
def platform(home: Path, **more: str) -> Iterator[Platform]:
    with serving() as slack:
        direct: dict[str, str | None] = dict.fromkeys(PROXIES)
        with prepared(home, **direct, **more, **{SLACK: slack.connection}) as here:
            yield Platform(here.settings, here.variables, slack)


def remember_a_run(platform: Platform, dag_id: str, began: datetime) -> None:
    """As if a pipeline had run then, and not since."""
    platform.sql(
        "create schema if not exists raw.meta",
        "insert into raw.meta.run_summary (dag_id, run_id, domain, target, layer, position,"
        " status, began_at, ended_at, seconds, table_count, tests_passed, tests_warned,"
        " tests_failed, tests_skipped, recorded_at)"
        f" select '{dag_id}', 'scheduled__{began:%Y-%m-%d}', 'retail', 'local', 'run', 1,"
        f" 'success', '{began:%Y-%m-%d %H:%M:%S}', '{began:%Y-%m-%d %H:%M:%S}', 1, 0, 0, 0, 0, 0,"
        f" '{began:%Y-%m-%d %H:%M:%S}'",
    )


# -- without Elementary ----------------------------------------------------------------------------


def test_without_packages_the_rest_is_watched_and_it_is_said(tmp_path: Path) -> None:
    with platform(tmp_path, FIRN_ELEMENTARY="off") as here:
        here.sql("create schema if not exists raw.meta", ledgers.RUN_SUMMARY.create)
        began = datetime.now(UTC) - timedelta(days=3)
        remember_a_run(here, "retail__sales__daily", began)
        first = here.run_dag(MONITORING)
        assert first.succeeded, "\n".join(first.last_lines(40))
        assert first.tasks == {
            "build": "skipped",
            "watch": "skipped",
            "tell": "skipped",
            "silence": "success",
            "complete": "success",
            "report": "success",
        }
        assert "Monitoring is off: FIRN_ELEMENTARY is off" in first.log.read_text()
        [message] = here.messages()
        assert ":mute: *Silent*: retail__sales__daily" in message
        assert f"It should run every 24 h. Its last run began at {began:%Y-%m-%d %H:%M}" in message
        page = (here.settings.home / "report" / "index.html").read_text()
        assert "Monitoring is off" in page

        # Told once, until it has run again.
        assert here.run_dag(MONITORING).succeeded
        assert here.messages() == []


# -- with Elementary -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, dbt_packages: Callable[..., Path]
) -> Iterator[Platform]:
    packages = dbt_packages("elementary", "dbt_utils")
    home = tmp_path_factory.mktemp("firn")
    with platform(home, FIRN_DBT_PACKAGES_DIR=str(packages)) as here:
        forex.deliver(1, 3_000, settings=here.settings)
        assert here.run_dag(FOREX).succeeded
        # A fortnight of deliveries, each day about as many, of the same kind.
        here.sql(
            f"update {RAW} set _loaded_at = dateadd("
            f"minute, -5, dateadd(day, -mod(_row_number, {DAYS}), date_trunc('hour', sysdate())))"
        )
        assert here.run_dag(FOREX).succeeded
        here.messages()
        yield here


def test_a_healthy_fortnight_raises_nothing(watched: Platform) -> None:
    outcome = watched.run_dag(MONITORING)
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    assert set(outcome.tasks.values()) == {"success"}
    assert watched.messages() == []
    days = watched.sql(
        "select count(distinct bucket_end)"
        " from analytics_dev.test_elementary.data_monitoring_metrics"
        " where metric_name = 'row_count' and full_table_name ilike '%customer_transactions'"
    )
    assert days[0][0] >= 13


def test_every_fault_has_its_message(watched: Platform) -> None:
    day = "date_trunc('day', dateadd(day, -{}, sysdate()))"
    yesterday, before = day.format(1), day.format(2)
    deliver_a_row_that_is_cut_off(watched)
    watched.sql(
        # A volume that drops.
        f"delete from {RAW} where _loaded_at >= {yesterday} and mod(_row_number, 60) <> 1",
        # A burst of nulls.
        f"update {RAW} set quantity = null where date_trunc('day', _loaded_at) = {before}",
        # A key twice.
        f"insert into {RAW} select * from {RAW} order by _row_number limit 1",
        # A column that came.
        f"alter table {RAW} add column discount varchar",
        # Prices in another currency.
        f"update {TRANSACTIONS} set price = price * 150"
        f" where date_trunc('day', loaded_at) = {before}",
    )
    remember_a_run(watched, "retail__sales__daily", datetime.now(UTC) - timedelta(days=3))
    assert not watched.run_dag(FOREX).succeeded
    at_once = watched.messages()
    # A source that dries up.
    watched.sql(f"delete from {RAW} where _loaded_at >= dateadd(hour, -24, sysdate())")
    outcome = watched.run_dag(MONITORING)
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    within_the_hour = watched.messages()

    said = dict.fromkeys(AT_ONCE, at_once) | dict.fromkeys(WITHIN_THE_HOUR, within_the_hour)
    for fault, messages in said.items():
        wanted = (AT_ONCE | WITHIN_THE_HOUR)[fault]
        assert any(all(one in text for one in wanted) for text in messages), (fault, messages)
    # Nobody's data, and the owner of what was found.
    together = "\n".join(at_once + within_the_hour)
    assert "*Owners*\\nanalytics-engineering" in together
    assert "cut-off@example.com" not in together

    # What maintenance clears is there, under the names and with the column that it knows.
    cleared = {one.what.lower() for one in clear_tables(dry_run=True, settings=watched.settings)}
    schema = "analytics_dev.test_elementary"
    assert {f"{schema}.{name}" for name in ELEMENTARY} <= cleared

    # Elementary's page asks no other machine for anything.
    page = (watched.settings.home / "report" / "elementary.html").read_text(encoding="utf-8")
    assert not re.search(r"<(?:link|script|img)\b[^>]*(?:href|src)=[\"']https?://", page)

    # Each finding at most once a day.
    assert watched.run_dag(MONITORING).succeeded
    assert watched.messages() == []


AT_ONCE = {
    "rejected rows": (":large_orange_circle: *Rows rejected*", "customer_transactions: 1 of"),
    "duplicated keys": (":red_circle: *Failed*", "stg_forex__customer_transactions"),
}
WITHIN_THE_HOUR = {
    "duplicated keys, by name": ('\\"unique\\" test failed', "transaction_id"),
    "volume drop": ("volume_anomalies", "raw.forex.customer_transactions"),
    "null burst": ("column_anomalies - Null Percent", "QUANTITY"),
    "distribution shift": ("column_anomalies - Average", "int_forex__transactions.PRICE"),
    "schema change": ("Column Added", "DISCOUNT"),
    "late source": ("Freshness exceeded", "forex.customer_transactions"),
    "stopped pipeline": (":mute: *Silent*", "retail__sales__daily"),
}


def deliver_a_row_that_is_cut_off(watched: Platform) -> None:
    delivered = forex.deliver(2, 20, settings=watched.settings).file
    header = delivered.read_text(encoding="utf-8").splitlines()[0]
    cut_off = delivered.with_name("customer_transactions_0003.csv")
    cut_off.write_text(f"{header}\n900001,7,2026-01-02,cut-off@example.com\n", encoding="utf-8")
