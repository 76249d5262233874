"""The tpch models on the local warehouse: built, built again, and fed with changes.

They are built once. A test that changes something does so in a copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import NormalDist

import pytest

from include.domains.tpch import demo as tpch_demo
from include.domains.tpch import sample as tpch
from tests.integration.dbt_runs import Beginning, DbtRuns, Outcome, begin, layers_of
from tests.integration.tpch_project import FACTS, Project, written

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@dataclass(frozen=True)
class First:
    """The models as they were built, and what dbt said."""

    beginning: Beginning
    outcome: Outcome
    log: str


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    outcomes: list[Outcome] = []

    def load_and_build(runs: DbtRuns) -> None:
        # Below scale 0.01 the generator gives a part the same supplier twice.
        tpch.load(0.01)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AIRFLOW_CTX_DAG_ID", "tpch__orders__4h")
            environment.setenv("AIRFLOW_CTX_TASK_ID", "it's")
            outcomes.append(runs.build())
        assert outcomes[0].success, outcomes[0].output

    beginning = begin(tmp_path_factory.mktemp("tpch"), "tpch", load_and_build)
    log = (beginning.runs.folder / "logs" / "dbt.log").read_text()
    return First(beginning, outcomes[0], log)


def project(runs: DbtRuns) -> Project:
    """The same with the source's tables at hand."""
    runs.cursor.execute(f"use schema {tpch.DATABASE}.{tpch.SCHEMA}")
    return Project(**vars(runs))


@pytest.fixture(scope="module")
def as_built(first: First, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """For tests that only look."""
    with first.beginning.copy(tmp_path_factory.mktemp("read") / "home") as runs:
        yield project(runs)


@pytest.fixture
def built(first: First, tmp_path: Path) -> Iterator[Project]:
    """For a test that changes something."""
    with first.beginning.copy(tmp_path / "home") as runs:
        yield project(runs)


def month_of(day: date) -> tuple[date, date]:
    """The first day of a date's month and of the month after."""
    start = day.replace(day=1)
    after = date(start.year + start.month // 12, start.month % 12 + 1, 1)
    return start, after


def test_the_build_passes(as_built: Project, first: First) -> None:
    # An exposure has nothing to do.
    statuses = {result["status"] for result in first.outcome.results.values()}
    assert statuses == {"success", "pass", "no-op"}
    kinds = {name.split(".")[0] for name in first.outcome.results}
    assert kinds == {"model", "test", "unit_test", "seed", "snapshot", "exposure"}
    lines = as_built.value("select count(*) from lineitem")
    assert as_built.value(f"select count(*) from {as_built.table('mart_orders')}") == lines > 50_000
    customers = as_built.value("select count(*) from customer")
    summary = as_built.table("mart_customer_summary")
    assert as_built.value(f"select count(*) from {summary}") == customers == 1500


def test_the_questions_of_the_demo_have_answers(as_built: Project) -> None:
    assert all(as_built.answers(tpch_demo.PIPELINE).values())


def test_shares_add_up_to_what_the_source_says(as_built: Project) -> None:
    share = as_built.value(f"select sum(order_total_share) from {as_built.table('mart_orders')}")
    assert share == as_built.value("select sum(o_totalprice) from orders")


def test_columns_are_those_in_the_yaml_and_marts_carry_their_descriptions(
    as_built: Project,
) -> None:
    manifest = json.loads(next(as_built.folder.glob("*/manifest.json")).read_text())
    for model in manifest["nodes"].values():
        if model["resource_type"] != "model" or model["fqn"][2] != "tpch":
            continue
        columns = as_built.rows(
            "select column_name, comment from analytics_dev.information_schema.columns"
            " where table_schema = upper(%s) and table_name = upper(%s) order by ordinal_position",
            model["schema"],
            model["name"],
        )
        documented = [column.upper() for column in model["columns"]]
        assert sorted(name for name, _ in columns) == sorted(documented), model["name"]
        if model["fqn"][1] == "mart":
            assert [name for name, _ in columns] == documented, model["name"]
            assert all(comment for _, comment in columns), model["name"]


def test_statements_that_cost_credits_carry_a_query_tag(first: First) -> None:
    # Of the first build alone, which says most.
    log = max(first.log.split("Running with dbt"), key=len)
    by_node: dict[str, list[str]] = {}
    node = r"\[Thread-\d+.*?\]: On ((?:model|test|unit_test|seed|snapshot)\.firn\..+?): (.*)"
    for name, statement in re.findall(node, log):
        if statement != "Close":
            by_node.setdefault(name, []).append(statement)
    assert {name.split(".")[0] for name in by_node} == {
        *("model", "test", "unit_test", "seed", "snapshot")
    }
    views = {
        name
        for name in by_node
        if name.startswith("model.firn.stg_tpch__dim_") or name.endswith("fct_partsupp")
    }
    assert len(views) == 6
    tagging = "alter session set query_tag = '"
    for name, statements in by_node.items():
        found = [place for place, one in enumerate(statements) if tagging in one]
        # Before the first statement the node's own, after the last the run's.
        writes = name.split(".")[0] in {"model", "seed", "snapshot"} and name not in views
        assert found == ([0, len(statements) - 1] if writes else []), name
    its_own, of_the_run = (
        json.loads(
            by_node["model.firn.mart_orders"][place].split(tagging)[1][:-1].replace("''", "'")
        )
        for place in (0, -1)
    )
    assert its_own.pop("model") == "mart_orders"
    assert its_own == of_the_run
    assert len(its_own.pop("run")) == 36
    assert its_own == {
        "application": "firn",
        "dag": "tpch__orders__4h",
        "task": "it's",
        "target": "local",
    }


def test_a_second_run_writes_no_row(built: Project) -> None:
    built.remember()
    assert written(built.run()) == (0, 0)
    assert built.differences() == {}


def test_changes_arrive_and_end_where_a_full_rebuild_ends(built: Project) -> None:
    lines_of: dict[int, int] = dict(
        built.rows("select l_orderkey, count(*) from lineitem where l_orderkey < 6 group by 1")
    )
    assert built.value("select count(*) from orders where o_orderkey = 10") == 0
    # A new order whose key is lower than those loaded, with two lines.
    built.rows(
        "insert into orders select 10, * exclude o_orderkey from orders where o_orderkey = 5"
    )
    built.rows(
        "insert into lineitem select 10, * exclude l_orderkey from lineitem"
        " where l_orderkey = 5 and l_linenumber <= 2"
    )
    # A corrected order that moves to another month, a corrected line, a line and an order gone.
    built.rows(
        "update orders set o_orderdate = dateadd(month, 3, o_orderdate) where o_orderkey = 1"
    )
    built.rows("update lineitem set l_tax = l_tax + 0.01 where l_orderkey = 2 and l_linenumber = 1")
    built.rows("delete from lineitem where l_orderkey = 3 and l_linenumber = 2")
    built.rows("delete from orders where o_orderkey = 4")
    built.rows("delete from lineitem where l_orderkey = 4")

    built.remember()
    assert written(built.run()) == (3, 2 + lines_of[1] + 1 + 1 + lines_of[4])

    orders = built.table("stg_tpch__fct_orders")
    assert built.rows(f"select order_key from {orders} where order_key in (4, 10)") == [(10,)]
    assert set(built.differences()) >= {
        *FACTS,
        *(model for model, layer in layers_of("tpch").items() if layer == "intermediate"),
        "mart_orders",
    }
    built.remember()
    assert built.run("--full-refresh").success
    assert built.differences() == {}


def test_a_line_waits_for_its_order_and_goes_with_it(built: Project) -> None:
    lines = built.table("stg_tpch__fct_lineitem")
    held = f"select count(*) from {lines} where order_key in (6, 11)"
    before = built.value(held)
    # Order 6 is deleted but not its lines; order 11 has a line and is not there yet.
    built.rows(
        "create or replace temporary table late as select * from orders where o_orderkey = 6"
    )
    built.rows("delete from orders where o_orderkey = 6")
    built.rows(
        "insert into lineitem select 11, * exclude l_orderkey from lineitem"
        " where l_orderkey = 5 and l_linenumber = 1"
    )
    assert built.load_facts() == (1, before)
    assert built.value(held) == 0

    built.rows("insert into orders select * from late")
    built.rows("insert into orders select 11, * exclude o_orderkey from late")
    assert built.load_facts() == (2, before + 1)
    assert built.value(held) == before + 1


def test_bounds_leave_rows_outside_as_they_are(built: Project) -> None:
    inside, moved, outside = 32, 33, 34
    dates: dict[int, date] = dict(
        built.rows("select o_orderkey, o_orderdate from orders where o_orderkey in (32, 33, 34)")
    )
    start, end = month_of(dates[inside])
    assert not start <= dates[outside] < end
    moved_lines = built.value("select count(*) from lineitem where l_orderkey = %s", moved)
    # Where order 33 stood, inside the bounds, is what the table still says; the source moved on.
    built.rows("update orders set o_orderdate = %s where o_orderkey = %s", start, moved)
    built.load_facts()
    built.rows("update orders set o_orderdate = %s where o_orderkey = %s", dates[moved], moved)
    built.rows("update orders set o_clerk = 'changed' where o_orderkey in (32, 34)")
    built.rows("update lineitem set l_shipmode = 'changed' where l_orderkey in (32, 34)")
    counts: dict[int, int] = dict(
        built.rows("select l_orderkey, count(*) from lineitem where l_orderkey < 40 group by 1")
    )

    bounded = built.load_facts(backfill_start=start, backfill_end=end)
    assert bounded == (2, counts[inside] + moved_lines)
    orders = built.table("stg_tpch__fct_orders")
    changed = f"select order_key from {orders} where clerk = 'changed' order by 1"
    assert built.rows(changed) == [(inside,)]

    assert built.load_facts() == (1, counts[outside])
    assert built.rows(changed) == [(inside,), (outside,)]


def test_a_look_back_compares_the_newest_months_only(built: Project) -> None:
    newest = built.value("select max_by(o_orderkey, o_orderdate) from orders")
    built.rows("update orders set o_clerk = 'seen' where o_orderkey in (%s, 35)", newest)
    assert built.load_facts(tpch_lookback_months=1) == (1, 0)
    assert built.load_facts() == (1, 0)


def test_freshness_is_checked_for_each_table_with_its_own_threshold(as_built: Project) -> None:
    outcome = as_built.dbt("source", "freshness", tpch_max_age_days_orders=0)
    assert not outcome.success
    assert len(re.findall(r"PASS freshness of tpch\.", outcome.output)) == 7
    assert re.search(r"ERROR STALE freshness of tpch\.orders", outcome.output)


def test_the_normal_quantile_is_close_to_the_exact_one(as_built: Project) -> None:
    levels = (0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.999, 0.9999)
    columns = ", ".join(f"{{{{ standard_normal_quantile({level}) }}}}" for level in levels)
    compiled = as_built.dbt("compile", "--inline", f"select {columns}")
    assert compiled.success, compiled.output
    (result,) = compiled.results.values()
    (found,) = as_built.rows(result["compiled_code"])
    exact = [NormalDist().inv_cdf(level) for level in levels]
    assert [float(value) for value in found] == pytest.approx(exact, abs=0.001)


def test_a_mart_that_does_not_add_up_is_found(built: Project) -> None:
    products, discounts = map(built.table, ("mart_product_performance", "mart_discount_impact"))
    built.rows(f"update {products} set net_revenue = net_revenue + 0.0001 where revenue_rank = 1")
    built.rows(f"update {discounts} set line_share = line_share + 0.0000001")
    tested = built.dbt("test", "--select", "mart_product_performance", "mart_discount_impact")
    failed = [name.split(".")[2] for name, one in tested.results.items() if one["failures"]]
    assert sorted(failed) == [
        "adds_up_to_mart_discount_impact_line_share__10__1",
        "same_totals_mart_product_performance_1__net_price__margin_amount__ref_mart_orders_",
    ]
