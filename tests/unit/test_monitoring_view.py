"""What the monitoring page says of a pipeline, from what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from include.monitoring.charts import HEIGHT, WIDTH, bars, line
from include.monitoring.history import History, PastRun, Refused
from include.monitoring.pipelines import Pipeline, find_pipelines, interval
from include.monitoring.run_summary import FAILED, SUCCESS, Layer
from include.monitoring.view import (
    Artifacts,
    PipelineView,
    State,
    duration,
    overview,
    pipeline_view,
    plural,
)
from include.project.builds import NodeResult, SourceAge

HOURLY = Pipeline(
    "shop__sales__hourly", "shop", "Sales.", timedelta(hours=1), timedelta(minutes=30)
)
TABLE = "ANALYTICS.MART.MART_SALES"
INCREMENTAL = {"model.firn.mart_sales": TABLE}


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2025, 1, 2, hour, minute, tzinfo=UTC)


def past(hour: int, *, source: Mapping[str, Any] | None = None, **whole: Any) -> PastRun:
    """A run of five minutes."""
    all_of_it = Layer("run", SUCCESS, at(hour), at(hour, 5))
    raw = Layer("source", SUCCESS, table_count=1)
    layers = {
        "run": replace(all_of_it, **whole),
        "source": replace(raw, **(source or {})),
        "mart": Layer("mart", SUCCESS, row_count=100 * hour, tests_passed=3),
    }
    return PastRun(HOURLY.dag_id, f"run {hour}", at(hour, 5), layers)


def node(name: str, status: str, hour: int = 8, **more: Any) -> NodeResult:
    began = at(hour, 1)
    return NodeResult(name, name.split(".")[0], status, began=began, ended=at(hour, 2), **more)


def built(*nodes: NodeResult, hour: int = 8, sources: tuple[SourceAge, ...] = ()) -> Artifacts:
    return Artifacts(nodes, at(hour, 3), sources)


def seen(
    *runs: PastRun,
    artifacts: Artifacts | None = None,
    now: datetime | None = None,
    created: Mapping[str, datetime] | None = None,
) -> PipelineView:
    artifacts = artifacts or Artifacts()
    return pipeline_view(HOURLY, runs, artifacts, INCREMENTAL, created or {}, now or at(8, 10))


def test_a_pipeline_that_never_ran_has_nothing_to_find() -> None:
    never = seen()
    assert (never.state, never.findings, never.last) == (State.NEVER, (), None)


def test_a_good_run_is_well() -> None:
    well = seen(past(8), artifacts=built(node("test.firn.unique", "pass")))
    assert well.state == State.WELL
    assert well.last
    assert (well.last.status, well.last.seconds) == (SUCCESS, 300)
    assert (well.tests.passed, well.tests.count) == (1, 1)


def test_a_failed_run_is_told_with_the_tests_and_tasks_that_failed() -> None:
    failed = seen(
        past(8, status=FAILED, problems=("task shop.source_freshness failed: see its log",)),
        artifacts=built(
            node("test.firn.unique.1", "fail", message="Got 2\n results", failures=2),
            node("model.firn.mart_sales", "error", message="no such column"),
            node("test.firn.known.1", "warn", message="Got 1 result"),
            node("test.firn.other.1", "skipped"),
        ),
    )
    assert failed.state == State.FAILED
    first, second = failed.findings
    assert first.text == "The last run failed, at 2025-01-02 08:05 UTC."
    assert first.nodes == ("model mart_sales: no such column", "test unique: Got 2 results")
    assert first.details == ("task shop.source_freshness failed: see its log",)
    assert (second.state, second.nodes) == (State.WARNING, ("test known: Got 1 result",))
    assert [one.name for one in failed.told] == ["mart_sales", "unique", "known"]
    tests = failed.tests
    assert (tests.passed, tests.warned, tests.failed, tests.skipped) == (0, 1, 1, 1)


def test_without_the_results_of_dbt_the_summary_says_what_failed() -> None:
    run = past(8, status=FAILED)
    mart = Layer("mart", FAILED, tests_failed=1, problems=("test unique fail: Got 2 results",))
    told = seen(replace(run, layers={**run.layers, "mart": mart}))
    assert told.findings[0].details == ("mart: test unique fail: Got 2 results",)
    assert told.tests.failed == 1
    assert told.tests.told == ()


def test_results_of_an_earlier_build_are_not_taken_for_those_of_a_run_that_built_nothing() -> None:
    told = seen(
        past(8, status=FAILED, problems=("task ingest.orders.load failed: see its log",)),
        artifacts=built(node("test.firn.unique", "fail", 6), hour=6),
        created={TABLE: at(1)},
    )
    assert told.findings[0].all_details == ("task ingest.orders.load failed: see its log",)
    assert told.told == ()
    assert told.merged == {}
    # The numbers are the summary's.
    assert told.tests.passed == 3


def test_a_build_after_the_last_summary_counts_as_the_last_run() -> None:
    ahead = seen(past(6), artifacts=built(node("test.firn.unique", "fail")))
    assert ahead.last
    assert (ahead.last.status, ahead.last.ended_at) == (FAILED, at(8, 3))
    assert ahead.state == State.FAILED


@pytest.mark.parametrize(("minutes", "late"), [(90, False), (91, True)])
def test_a_run_is_late_when_the_next_one_should_have_ended(minutes: int, late: bool) -> None:
    found = seen(past(8), now=at(8) + timedelta(minutes=minutes))
    assert found.state == (State.LATE if late else State.WELL)
    if late:
        assert found.findings[0].text == (
            "The last run began 1 h 31 min ago, at 2025-01-02 08:00 UTC; one is due every 1 h and "
            "may take 30 min."
        )


def test_without_a_schedule_nothing_is_late() -> None:
    whenever = replace(HOURLY, every=None)
    found = pipeline_view(whenever, [past(8)], Artifacts(), {}, {}, at(8) + timedelta(days=9))
    assert found.state == State.WELL


@pytest.mark.parametrize(
    ("hours", "state", "limit"), [(1, State.WELL, 2), (3, State.WARNING, 2), (5, State.LATE, 4)]
)
def test_a_source_is_as_old_as_it_is_now_not_when_it_was_checked(
    hours: int, state: State, limit: int
) -> None:
    source = SourceAge(
        "source.firn.shop.orders", "pass", at(8), at(8, 1), timedelta(hours=2), timedelta(hours=4)
    )
    artifacts = built(sources=(source,))
    now = at(8) + timedelta(hours=hours)
    found = pipeline_view(replace(HOURLY, every=None), [past(8)], artifacts, {}, {}, now)
    assert found.state == state
    assert (found.sources[0].state, found.sources[0].limit) == (state, timedelta(hours=limit))
    words = {State.WELL: "1 fresh", State.WARNING: "1 old", State.LATE: "1 late"}
    assert found.freshness == words[state]
    if state != State.WELL:
        assert found.findings[0].text == (
            f"The newest rows of orders are {hours} h old, of 2025-01-02 08:00 UTC; the limit is "
            f"{limit} h."
        )


def test_a_source_that_could_not_be_read_is_a_failure() -> None:
    source = SourceAge("source.firn.shop.orders", "runtime error", message="no such table")
    found = seen(past(8), artifacts=built(sources=(source,)))
    assert found.state == State.FAILED
    assert found.findings[0].details == ("no such table",)


def test_rejected_rows_are_a_warning() -> None:
    found = seen(past(8, source={"delivered": 1200, "loaded": 1190, "rejected": 10}))
    assert found.state == State.WARNING
    assert found.findings[0].text.startswith("10 of 1,200 rows")
    assert (found.delivered, found.rejected) == (1200, 10)


def test_rows_are_merged_into_tables_that_were_there_before() -> None:
    artifacts = built(node("model.firn.mart_sales", "success", rows=7))
    assert seen(past(8), artifacts=artifacts, created={TABLE: at(7)}).merged == {"mart_sales": 7}
    # What dbt reports of a table that it has just created is not a number of rows.
    anew = seen(past(8), artifacts=artifacts, created={TABLE: at(8, 2)})
    assert (anew.merged, anew.built_anew) == ({}, ("mart_sales",))
    unknown = seen(past(8), artifacts=artifacts)
    assert (unknown.merged, unknown.built_anew) == ({}, ())


def test_rows_are_charted_over_the_runs() -> None:
    found = seen(past(6), past(7), past(8))
    (source, mart) = found.layers
    assert (source.change, source.chart) == (None, None)
    assert mart.change == 100
    assert mart.chart
    assert len(mart.chart.points.split()) == 3
    assert "from 600 on 2025-01-02 06:05 UTC to 800 on 2025-01-02 08:05 UTC" in mart.chart.title
    assert found.rows is mart
    assert [bar.mark for bar in found.runs] == ["well"] * 3


def test_the_worst_comes_first_and_refused_files_are_a_warning() -> None:
    pipelines = [
        replace(HOURLY, dag_id=f"{name}__sales__hourly", domain=name) for name in ("a", "b", "c")
    ]
    runs = {
        "a__sales__hourly": [past(8)],
        "b__sales__hourly": [past(8, status=FAILED)],
        "c__sales__hourly": [past(6)],
    }
    history = History(runs=runs, refused={"a": [Refused("orders", "x.csv", "It is empty.", at(8))]})
    found = overview(pipelines, history, {}, {}, at(8, 10))
    assert found.headline == "1 of 3 pipelines is well; 1 failed, 1 late."
    assert [one.pipeline.domain for one in found.pipelines] == ["b", "c", "a"]
    assert [one.name for one in found.domains] == ["b", "c", "a"]
    assert found.domains[2].state == State.WARNING
    assert [one.pipeline.domain for one in found.attention] == ["b", "c"]
    assert len(found.refused) == 1


def test_headlines() -> None:
    assert overview([HOURLY], History(), {}, {}, at(8)).headline == "No pipeline has run yet."
    well = History(runs={HOURLY.dag_id: [past(8)]})
    assert overview([HOURLY], well, {}, {}, at(8, 6)).headline == "The pipeline is well."


def test_every_state_has_a_word_a_sign_and_a_style_of_its_own() -> None:
    for what in ("word", "sign", "style"):
        assert len({getattr(state, what) for state in State}) == len(State)


# -- pipelines -------------------------------------------------------------------------------------


def test_every_pipeline_of_the_dag_folder_is_found_with_its_schedule() -> None:
    found = {one.dag_id: one for one in find_pipelines()}
    assert len(found) >= 8
    for one in found.values():
        assert one.title, one.dag_id
        assert one.every, one.dag_id
        assert one.late_after, one.dag_id
    gaming = found["gaming__purchases__5min"]
    assert gaming.domain == "gaming"
    assert gaming.title == "Purchases of the mobile game, every five minutes."
    assert gaming.due_within == timedelta(minutes=11)


def test_dags_of_the_platform_are_no_pipelines(tmp_path: Path) -> None:
    for name in ("platform__maintenance__daily", "shop__sales__whenever"):
        (tmp_path / f"{name}.py").write_text('"""A DAG."""\nalerts(late_after=soon())\n')
    assert find_pipelines(tmp_path) == [Pipeline("shop__sales__whenever", "shop", "A DAG.")]


@pytest.mark.parametrize(
    ("word", "length"),
    [
        ("5min", timedelta(minutes=5)),
        ("4h", timedelta(hours=4)),
        ("daily", timedelta(days=1)),
        ("manual", None),
    ],
)
def test_the_name_says_how_often(word: str, length: timedelta | None) -> None:
    assert interval(word) == length


# -- in words, in pictures -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.25, "0.2 s"), (59.7, "1 min"), (61, "1 min 1 s"), (3600, "1 h"),
        (3 * 3600 + 125, "3 h 2 min"), (90_000, "1 d 1 h"), (36_500 * 86_400, "36,500 d"),
    ],
)  # fmt: skip
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert duration(timedelta(seconds=seconds)) == text


def test_numbers_of_things() -> None:
    assert (plural(1, "row"), plural(1200, "row")) == ("1 row", "1,200 rows")


@pytest.mark.parametrize("values", [[1, 5, 3], [4, 4], [0, 0, 0], [-2, 1e12]])
def test_a_line_stays_within_its_picture(values: list[float]) -> None:
    drawn = line(values, "title")
    assert drawn
    points = [tuple(map(float, point.split(","))) for point in drawn.points.split()]
    assert len(points) == len(values)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points == sorted(points)


def test_a_line_goes_up_where_values_grow() -> None:
    drawn = line([1, 2], "title")
    assert drawn
    (_, first), (_, second) = (map(float, one.split(",")) for one in drawn.points.split())
    assert second < first
    assert line([1], "title") is None


def test_bars_stand_side_by_side_and_none_vanishes() -> None:
    drawn = bars([0, 50, 100], ["a", "b", "c"], ["well"] * 3)
    assert [bar.label for bar in drawn] == ["a", "b", "c"]
    assert [bar.height for bar in drawn] == [2, 13, 26]
    assert all(one.x + one.width < other.x for one, other in pairwise(drawn))
    assert bars([], [], []) == []
