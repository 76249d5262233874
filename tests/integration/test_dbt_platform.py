"""The cost models on the local warehouse, over tables that stand for those of an account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.airflow.environment import SLACK
from include.monitoring.budget import current_month
from include.orchestration import cost_tasks
from include.orchestration.alerts import error_line
from tests.integration.dbt_runs import Beginning, DbtRuns, Outcome, begin
from tests.slack import PROXIES, serving

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

pytestmark = [pytest.mark.integration, pytest.mark.slow]

COSTS, BUDGET = "mart_platform__costs_daily", "mart_platform__budget_monthly"
UNIT_TESTS = 5

# As Snowflake documents the two views.
ACCOUNT = (
    "create database if not exists SNOWFLAKE",
    "create schema if not exists SNOWFLAKE.ACCOUNT_USAGE",
    """
    create or replace table SNOWFLAKE.ACCOUNT_USAGE.QUERY_ATTRIBUTION_HISTORY (
        QUERY_ID varchar, PARENT_QUERY_ID varchar, ROOT_QUERY_ID varchar,
        WAREHOUSE_ID number(38, 0), WAREHOUSE_NAME varchar, QUERY_HASH varchar,
        QUERY_PARAMETERIZED_HASH varchar, QUERY_TAG varchar, USER_NAME varchar,
        START_TIME timestamp_ltz, END_TIME timestamp_ltz, CREDITS_ATTRIBUTED_COMPUTE float,
        CREDITS_USED_QUERY_ACCELERATION float
    )
    """,
    """
    create or replace table SNOWFLAKE.ACCOUNT_USAGE.WAREHOUSE_METERING_HISTORY (
        START_TIME timestamp_ltz, END_TIME timestamp_ltz, WAREHOUSE_ID number(38, 0),
        WAREHOUSE_NAME varchar, CREDITS_USED number(38, 9), CREDITS_USED_COMPUTE number(38, 9),
        CREDITS_USED_CLOUD_SERVICES number(38, 9), CREDITS_ATTRIBUTED_COMPUTE_QUERIES number(38, 9)
    )
    """,
)


class Account:
    """What the account tells of its usage."""

    def __init__(self, cursor: SnowflakeCursor) -> None:
        self.cursor = cursor
        self.queries = 0

    def make(self) -> None:
        for sql in ACCOUNT:
            self.cursor.execute(sql)

    def query(self, day: str, used: str, tag: str | None, warehouse: str, user: str) -> None:
        self.queries += 1
        self.cursor.execute(
            "insert into SNOWFLAKE.ACCOUNT_USAGE.QUERY_ATTRIBUTION_HISTORY"
            " (query_id, warehouse_name, query_tag, user_name, start_time, end_time,"
            " credits_attributed_compute) select %s, %s, %s, %s, %s::timestamp_ltz,"
            " %s::timestamp_ltz, %s::float",
            (
                f"Q{self.queries}", warehouse, tag, user, f"{day} 10:00:00 +0000",
                f"{day} 10:01:00 +0000", used,
            ),
        )  # fmt: skip

    def metered(
        self, day: str, hour: int, compute: str, services: str, warehouse: str, number: int = 1
    ) -> None:
        self.cursor.execute(
            "insert into SNOWFLAKE.ACCOUNT_USAGE.WAREHOUSE_METERING_HISTORY"
            " (start_time, end_time, warehouse_id, warehouse_name, credits_used,"
            " credits_used_compute, credits_used_cloud_services) select %s::timestamp_ltz,"
            " %s::timestamp_ltz, %s, %s, %s::number(38, 9), %s::number(38, 9), %s::number(38, 9)",
            (
                f"{day} {hour:02}:00:00 +0000", f"{day} {hour:02}:59:59 +0000", number, warehouse,
                str(Decimal(compute) + Decimal(services)), compute, services,
            ),
        )  # fmt: skip


TAG = '{"application": "firn", "target": "prod", "dag": "d", "task": "t", "model": "m", "run": "r"}'
LOAD = '{"application": "firn", "target": "prod", "load": "forex.customer_transactions"}'


@dataclass(frozen=True)
class First:
    """The models as they were built, and what dbt said."""

    beginning: Beginning
    built: Outcome


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    outcomes: list[Outcome] = []

    def use_and_build(runs: DbtRuns) -> None:
        account = Account(runs.cursor)
        account.make()
        account.query("2026-11-01", "0.25", TAG, "FIRN_TRANSFORMER", "FIRN_AIRFLOW")
        account.query("2026-11-01", "0.5", TAG, "FIRN_TRANSFORMER", "FIRN_AIRFLOW")
        account.query("2026-11-01", "0.125", "by hand", "FIRN_TRANSFORMER", "ADA")
        account.query("2026-11-02", "1", LOAD, "FIRN_LOADER", "FIRN_AIRFLOW")
        account.query("2026-11-02", "5", None, "COMPUTE_WH", "ADA")
        account.metered("2026-11-01", 10, "1", "0.25", "FIRN_TRANSFORMER")
        account.metered("2026-11-01", 11, "1", "0", "FIRN_TRANSFORMER")
        account.metered("2026-11-02", 10, "1", "0.05", "FIRN_LOADER")
        account.metered("2026-11-02", 10, "6", "1", "COMPUTE_WH")
        # Dropped and made anew within the hour.
        account.metered("2026-11-02", 10, "0", "0", "FIRN_LOADER", number=2)
        outcomes.append(runs.build())
        assert outcomes[0].success, outcomes[0].output

    beginning = begin(
        tmp_path_factory.mktemp("platform"),
        "platform",
        use_and_build,
        platform_enabled=True,
        platform_credit_price=2,
        platform_budget=100,
    )
    return First(beginning, outcomes[0])


@pytest.fixture
def runs(first: First, tmp_path: Path) -> Iterator[DbtRuns]:
    """A copy of what was built."""
    with first.beginning.copy(tmp_path / "home") as runs:
        yield runs


@pytest.fixture
def account(runs: DbtRuns) -> Account:
    account = Account(runs.cursor)
    account.queries = 100
    return account


def total(runs: DbtRuns, column: str = "credits") -> Decimal:
    runs.cursor.execute(f"select sum({column}) from {runs.table(COSTS)}")
    [(value,)] = runs.cursor.fetchall()
    return Decimal(value)


def metered(account: Account) -> Decimal:
    account.cursor.execute(
        "select sum(credits_used) from SNOWFLAKE.ACCOUNT_USAGE.WAREHOUSE_METERING_HISTORY"
        " where startswith(warehouse_name, 'FIRN_')"
    )
    [(value,)] = account.cursor.fetchall()
    return Decimal(value)


def test_everything_is_built_tested_and_read_from_the_tags(
    first: First, runs: DbtRuns, account: Account
) -> None:
    built = first.built
    kinds = [name.split(".")[0] for name in built.results]
    assert kinds.count("model") == 4
    assert kinds.count("unit_test") == UNIT_TESTS
    assert kinds.count("test") > 15
    assert {one["status"] for one in built.results.values()} <= {"success", "pass"}
    assert total(runs) == metered(account) == Decimal("3.3")
    # 0.25 of cloud services on 2 credits, of which a tenth is free, and 0.05 on 1: 3.05 at 2.
    assert total(runs, "cost") == Decimal("6.1")
    runs.cursor.execute(
        "select cost_kind, model_name, source_name, user_name, query_count, credits"
        f" from {runs.table(COSTS)} where warehouse_name = 'FIRN_TRANSFORMER'"
        " order by cost_kind"
    )
    assert runs.cursor.fetchall() == [
        ("cloud_services", None, None, None, 0, Decimal("0.25")),
        ("firn", "m", None, "FIRN_AIRFLOW", 2, Decimal("0.75")),
        ("idle", None, None, None, 0, Decimal("1.125")),
        ("other", None, None, "ADA", 1, Decimal("0.125")),
    ]


def test_usage_that_is_told_of_late_takes_its_place(runs: DbtRuns, account: Account) -> None:
    account.query("2026-11-01", "0.125", LOAD, "FIRN_TRANSFORMER", "FIRN_AIRFLOW")
    account.metered("2026-11-02", 11, "1", "0", "FIRN_LOADER")
    built = runs.build()
    assert built.success, built.output
    assert total(runs) == metered(account) == Decimal("4.3")
    runs.cursor.execute(
        f"select credits from {runs.table(COSTS)}"
        " where warehouse_name = 'FIRN_TRANSFORMER' and cost_kind = 'idle'"
    )
    assert runs.cursor.fetchall() == [(Decimal("1"),)]


def test_what_is_older_than_the_look_back_waits_for_a_bounded_run(
    runs: DbtRuns, account: Account
) -> None:
    account.metered("2026-11-20", 10, "1", "0", "FIRN_CI")
    assert runs.run().success
    known = total(runs)
    assert known == metered(account)

    account.metered("2026-10-31", 10, "2", "0", "FIRN_CI")
    account.query("2026-11-01", "0.25", TAG, "FIRN_TRANSFORMER", "FIRN_AIRFLOW")
    account.metered("2026-11-02", 12, "4", "0", "FIRN_LOADER")
    assert runs.run().success
    assert total(runs) == known

    bounded = runs.run(backfill_start="2026-10-31", backfill_end="2026-11-02")
    assert bounded.success, bounded.output
    assert total(runs) == known + 2 == metered(account) - 4
    runs.cursor.execute(f"select credits from {runs.table(COSTS)} where model_name = 'm'")
    assert runs.cursor.fetchall() == [(Decimal("1"),)]

    assert runs.run("--full-refresh").success
    assert total(runs) == metered(account)


def test_a_look_back_that_makes_no_sense_is_refused(runs: DbtRuns) -> None:
    refused = runs.build(platform_lookback_days=0)
    assert not refused.success
    assert "give a whole number of days above 0" in refused.output


def test_amounts_that_make_no_sense_are_refused(runs: DbtRuns) -> None:
    refused = runs.run(platform_budget=0)
    assert not refused.success
    assert "platform_budget is '0': give a number above 0, or null for none." in refused.output
    refused = runs.run(platform_credit_price="3 EUR")
    assert not refused.success
    assert "platform_credit_price is '3 EUR': give a number above 0." in refused.output


# -- the budget ------------------------------------------------------------------------------------


class Task:
    """What a message reads of a task instance."""

    dag_id, task_id, run_id = "platform__cost__daily", "budget", "manual__1"
    log_url = "http://airflow.example/log"


def test_the_budget_is_told_of_when_it_is_near_and_fails_when_it_is_over(
    runs: DbtRuns, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So late in the month, what was spent is little.
    account.metered("2026-11-20", 10, "1", "0", "FIRN_CI")
    assert runs.run().success
    month = current_month()
    assert month is not None
    assert (month.month, month.status, month.budget) == (date(2026, 11, 1), "within", Decimal(100))
    runs.cursor.execute(
        f"select sum(cost) from {runs.table(COSTS)} where usage_date > '2026-10-31'"
    )
    assert [(month.cost,)] == runs.cursor.fetchall()

    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cost_tasks, "get_current_context", lambda: {"ti": Task()})
    task = cost_tasks.budget.function
    with serving() as slack:
        monkeypatch.setenv(SLACK, slack.connection)
        said = task()
        assert said.startswith("November 2026: ")
        assert said.endswith("of a budget of 100")
        assert slack.texts == []
        runs.cursor.execute(f"update {runs.table(BUDGET)} set budget_status = 'near'")
        assert task() == said
        assert [text.splitlines()[:2] for text in slack.texts] == [
            [":large_orange_circle: *Budget*: platform__cost__daily", said]
        ]
        runs.cursor.execute(f"update {runs.table(BUDGET)} set budget_status = 'over'")
        with pytest.raises(
            AirflowFailException, match=r"The budget is spent[.] November 2026: "
        ) as over:
            task()
    # Whole in the message about the failed task.
    assert error_line(over.value) == f"AirflowFailException: The budget is spent. {said}"
    runs.cursor.execute(f"drop table {runs.table(BUDGET)}")
    with pytest.raises(AirflowSkipException, match="There are no costs yet"):
        task()
