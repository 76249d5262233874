"""The monitoring site of a real warehouse with deliveries, rejects and runs; read by a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.ingestion.comparison import UNFINISHED, Comparison, Difference, Scope
from include.ingestion.loader import load_source
from include.ingestion.raw import Raw
from include.ingestion.sources import Checks, Column, Source
from include.monitoring.history import read_history
from include.monitoring.pipelines import Pipeline
from include.monitoring.run_summary import Run, summarize
from include.monitoring.site import Report, build_report
from include.project.builds import NodeResult, builds_folder
from include.project.nodes import Project
from tests.chromium import Browser, chromium
from tests.conftest import Warehouse, start_warehouse

pytestmark = pytest.mark.integration

DAG, OTHER = "shop__things__hourly", "shop__rest__hourly"
PIPELINES = [
    Pipeline(dag, "shop", "Things of a shop.", timedelta(hours=1), timedelta(hours=1))
    for dag in (DAG, OTHER, "quiet__things__daily")
]
THINGS = Source(
    name="things",
    columns=[
        Column(name="id", nullable=False),
        Column(name="amount", type="number(10, 2)", checks=Checks(min=0)),
    ],
    load="merge",
    key=["id"],
    allow_new_columns=True,
).model_copy(update={"domain": "shop"})
HOSTILE = "<script>alert(1)<_script>&quot;.csv"
LONG = "a_very_long_name_without_a_place_to_break_" * 4 + ".csv"
PROJECT = Project(
    sources=["RAW.SHOP.things"],
    layers={"model.firn.mart_things": "mart", "test.firn.unique_mart_things.1": "mart"},
    relations={"model.firn.mart_things": "ANALYTICS_DEV.test_mart.mart_things"},
)


@dataclass(frozen=True)
class Site:
    warehouse: Warehouse
    report: Report

    @property
    def index(self) -> str:
        return self.report.index.read_text(encoding="utf-8")

    @property
    def text(self) -> str:
        return " ".join(re.sub(r"<[^>]+>", " ", self.index).split())


def deliver(warehouse: Warehouse, files: dict[str, str]) -> None:
    landing = warehouse.home / "landing"
    folder = landing / "shop" / "things"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    load_source(THINGS, settings=warehouse.settings(), landing=landing)


def compare(warehouse: Warehouse) -> None:
    """What a load from a database enters into the book."""
    deals = Source(
        name="deals",
        domain="shop",
        load="add",
        format={"type": "database", "table": "deals", "watermark": "at", "event_time": "at"},
        columns=[{"name": "at", "type": "timestamp"}],
    )
    same = deals.model_copy(update={"name": "same"})
    with warehouse.connect(database="RAW") as connection:
        raw = Raw(connection, deals)
        raw.prepare()
        raw.begin_comparison(Comparison(Scope(), problem="it was away"))
        apart = {"2026-03-01": Difference(3, 5, 7)}
        begun = raw.begin_comparison(Comparison(Scope(), problem=UNFINISHED))
        raw.end_comparison(begun, Comparison(Scope(), 4, ("2026-03-01",), 3, apart))
        Raw(connection, same).begin_comparison(Comparison(Scope(), 4))


def summary(warehouse: Warehouse, number: int, began: datetime, *, fails: bool) -> None:
    """What the task `summary` does after a run of the DAG."""
    now = datetime.now(UTC)
    nodes = [
        NodeResult("model.firn.mart_things", "model", "success", began=now, ended=now, rows=2),
        NodeResult(
            "test.firn.unique_mart_things.1",
            "test",
            "fail" if fails else "pass",
            began=now,
            ended=now,
            message="Got 1 result, configured to fail if != 0" if fails else "",
            failures=int(fails),
        ),
    ]
    states = {"ingest.things.load": {"success"}, "shop.mart.mart_things": {"success"}}
    run = Run(DAG, f"scheduled__{number}", "shop", began, states)
    summarize(run, PROJECT, nodes, None, settings=warehouse.settings())
    folder = builds_folder(DAG, warehouse.settings().environment())
    folder.mkdir(parents=True, exist_ok=True)
    results = [
        {
            "unique_id": node.unique_id,
            "status": node.status,
            "message": node.message,
            "failures": node.failures,
            "adapter_response": {"rows_affected": node.rows},
            "timing": [{"started_at": now.isoformat(), "completed_at": now.isoformat()}],
        }
        for node in nodes
    ]
    metadata = {"generated_at": now.isoformat()}
    (folder / "run_results.json").write_text(json.dumps({"metadata": metadata, "results": results}))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    warehouse = start_warehouse(tmp_path_factory.mktemp("firn"))
    try:
        with warehouse.connect() as connection, connection.cursor() as cursor:
            for statement in (
                "create schema test_mart",
                "create table test_mart.mart_things as select 1 as id union all select 2",
                "create table test_mart.mart_retail__data_quality (load_id varchar,"
                " table_name varchar, column_name varchar, column_position number(38, 0),"
                " source_file varchar, loaded_at timestamp_ntz, row_count number(38, 0),"
                " null_rate number(38, 6))",
                "insert into test_mart.mart_retail__data_quality values"
                " ('L1', 'customers', 'email', 1, 'one.parquet', '2025-01-01 06:00:00', 8, 0.125),"
                " ('L2', 'customers', 'email', 1, 'two.parquet', '2025-01-02 06:00:00', 8, 0.5),"
                " ('L2', 'customers', 'name', 2, 'two.parquet', '2025-01-02 06:00:00', 8, 0)",
            ):
                cursor.execute(statement)
        began = datetime.now(UTC)
        deliver(warehouse, {HOSTILE: "id,amount\n1,5\n2,-1\n3,7\n"})
        summary(warehouse, 1, began, fails=False)
        began = datetime.now(UTC)
        deliver(warehouse, {LONG: "id,amount,colour\n4,5,red\n", "empty.csv": "", "again.csv": ""})
        deliver(warehouse, {"again.csv": "id,amount\n5,5\n"})
        compare(warehouse)
        summary(warehouse, 2, began, fails=True)
        report = build_report(
            warehouse.home / "report",
            warehouse.settings(),
            with_dbt_docs=False,
            pipelines=PIPELINES,
        )
        yield Site(warehouse, report)
    finally:
        warehouse.process.stop()


def test_the_warehouse_tells_of_runs_and_deliveries(site: Site) -> None:
    history = read_history(site.warehouse.settings(), ["ANALYTICS_DEV.test_mart.mart_things"])
    first, second = history.runs[DAG]
    assert [first.run_id, second.run_id] == ["scheduled__1", "scheduled__2"]
    assert [first.status, second.status] == ["success", "failed"]
    # What has no model of the DAG has no row.
    assert list(second.layers) == ["run", "source", "mart"]
    source = first.layers["source"]
    assert (source.delivered, source.loaded, source.rejected) == (3, 2, 1)
    assert (source.row_count, second.layers["source"].row_count) == (2, 4)
    assert second.layers["mart"].tests_failed == 1
    assert 0 <= (datetime.now(UTC) - second.recorded_at).total_seconds() < 300
    [rejected] = history.rejects["shop"]
    assert (rejected.source, rejected.column, rejected.rows) == ("things", "amount", 1)
    assert rejected.latest_file == HOSTILE
    # A file that was delivered well since does not wait any more.
    assert [one.file for one in history.refused["shop"]] == ["empty.csv"]
    assert [(one.file, one.columns) for one in history.added_columns["shop"]] == [(LONG, "colour")]
    assert list(history.created) == ["ANALYTICS_DEV.TEST_MART.MART_THINGS"]
    [compared] = history.compared["shop"]
    assert (compared.source, compared.found, compared.only_in_raw) == ("deals", 3, 2)
    assert (compared.only_in_source, compared.days_apart, compared.problem) == (0, 1, "")
    customers = history.quality["customers"]
    assert [one.null_rate for one in customers["email"]] == [0.125, 0.5]
    assert [one.null_rate for one in customers["name"]] == [0]


def test_runs_of_another_target_are_not_told(site: Site) -> None:
    elsewhere = site.warehouse.settings()
    with site.warehouse.connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("update RAW.META.RUN_SUMMARY set target = 'prod'")
        connection.commit()
    try:
        assert read_history(elsewhere).runs == {}
    finally:
        with site.warehouse.connect() as connection, connection.cursor() as cursor:
            cursor.execute("update RAW.META.RUN_SUMMARY set target = 'local'")


def test_the_index_tells_what_is_wrong_first(site: Site) -> None:
    assert site.report.headline == "0 of 3 pipelines are well; 1 failed, 2 never ran."
    text = site.text
    first = text.index("Look at this first")
    assert text[first:].index("Failed") < text[first:].index("empty.csv")
    assert "unique_mart_things: Got 1 result, configured to fail if != 0" in text
    assert "+2" in text  # rows of the source more than in the run before
    assert "colour to things, by a_very_long_name" in text
    assert "&lt;script&gt;alert(1)&lt;_script&gt;&amp;quot;.csv" in site.index
    assert "<script" not in site.index


def test_an_empty_warehouse_has_nothing_to_tell(own_warehouse: Warehouse) -> None:
    history = read_history(own_warehouse.settings(), ["ANALYTICS_DEV.test_mart.mart_things"])
    assert (history.runs, history.rejects, history.refused, history.quality) == ({}, {}, {}, {})


# -- in a browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


# What is wider than the screen, or reaches beyond it.
TOO_WIDE = """
    const wide = [...document.querySelectorAll('body *')]
        .filter(one => !one.closest('.skip') && !one.closest('thead'))
        .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
        .map(one => one.tagName + '.' + one.className);
    return [Math.max(0, document.documentElement.scrollWidth - innerWidth), wide];
"""
OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"
LOW_CONTRAST = """
    const numbers = color => color.match(/[0-9.]+/g).map(Number);
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(one => one / 255)
            .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = one => {
        for (let at = one; at; at = at.parentElement) {
            const color = numbers(getComputedStyle(at).backgroundColor);
            if (color.length < 4 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *')]
        .filter(one => [...one.childNodes].some(part => part.nodeType === 3 && part.data.trim()))
        .filter(one => !one.closest('svg'))
        .filter(one => {
            const [a, b] = [light(numbers(getComputedStyle(one).color)), light(ground(one))];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
        })
        .map(one => one.tagName + '.' + one.className + ' ' + one.textContent.trim().slice(0, 30));
"""


@pytest.mark.parametrize("page", ["index.html", "data-quality.html"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_fits_its_screen_and_complains_of_nothing(
    site: Site, browser: Browser, page: str, width: int
) -> None:
    browser.show(site.report.index.with_name(page), width=width)
    browser.run(OPEN_ALL)
    assert browser.run("return innerWidth") == width
    assert browser.run(TOO_WIDE) == [0, []]
    assert browser.messages() == []
    # The style is there, and nothing but it and the page was loaded.
    assert browser.run("return getComputedStyle(document.body).margin") != "8px"
    loaded = browser.run("return performance.getEntriesByType('resource').map(one => one.name)")
    assert {Path(name).name for name in loaded} <= {"style.css", "data:,"}


@pytest.mark.parametrize("page", ["index.html", "data-quality.html"])
@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_in_the_light_and_in_the_dark(
    site: Site, browser: Browser, page: str, dark: bool
) -> None:
    browser.show(site.report.index.with_name(page), width=1280, dark=dark)
    browser.run(OPEN_ALL)
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) < 60) is dark
    assert browser.run(LOW_CONTRAST) == []


def test_a_link_to_a_pipeline_opens_it(site: Site, browser: Browser) -> None:
    browser.show(site.report.index, width=390)
    opened = "return document.getElementById('quiet__things__daily').closest('details').open"
    assert browser.run(opened) is False
    browser.run("document.querySelector('a[href=\"#quiet__things__daily\"]').click()")
    assert browser.run(opened) is True
