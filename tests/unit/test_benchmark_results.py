"""The one table of the benchmarks: its rows, its place in the README, what is missed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import results
from benchmarks.__main__ import app
from benchmarks.results import BenchmarkError, Detail, Report, Result
from include.project.monitoring_switch import MonitoringOffError

QUERIES = Result("queries", "22 queries", 3.5, "s", 2.8, "DuckDB", 1.15)
DEMO = Result("demo", "first run", 1234.4, "s", target=2000)
MARKS = "<!-- {0}: begin -->\nold\n<!-- {0}: end -->"


@pytest.fixture
def readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A README with a place for the table and for one table of details, and text around them."""
    file = tmp_path / "README.md"
    places = [MARKS.format(name) for name in ("results", "increments")]
    file.write_text("before\n" + "\nbetween\n".join(places) + "\nafter\n")
    monkeypatch.setattr(results, "README", file)
    return file


def test_a_ratio_or_a_value_is_held_against_its_target() -> None:
    shown = results.markdown(
        results.HEADINGS,
        [
            QUERIES.row(),
            DEMO.row(),
            Result("loading", "append", 41.26, "s", 82.52, "PUT").row(),
            Result("increments", "unexplained", 0, "models", target=0).row(),
        ],
    )
    assert shown.splitlines() == [
        "| benchmark  | measured    | value | unit   | reference     | ratio | at most | target |",
        "|------------|-------------|------:|--------|---------------|------:|--------:|--------|",
        "| queries    | 22 queries  |  3.50 | s      | 2.80 (DuckDB) |  1.25 |    1.15 | missed |",
        "| demo       | first run   | 1,234 | s      |               |       |    2000 | met    |",
        "| loading    | append      |  41.3 | s      | 82.5 (PUT)    |  0.50 |         |        |",
        "| increments | unexplained |     0 | models |               |       |       0 | met    |",
    ]


def test_missed_targets_are_named() -> None:
    assert results.missed([DEMO.row()]) == "No target is missed."
    said = results.missed([QUERIES.row(), DEMO.row(), QUERIES.row()])
    assert said == "Missed targets: queries (22 queries); queries (22 queries)."


def test_the_table_replaces_its_block_and_keeps_the_rows_of_others(readme: Path) -> None:
    detail = Detail(("model", "rows"), [("a", "1")])
    results.clear()
    assert "Not measured: statements, queries," in readme.read_text()
    results.write(Report([DEMO], detail), "demo")
    results.write(Report([QUERIES]), "queries")
    results.write(Report([Result("increments", "rows", 2, "rows")], detail), "increments")
    later = Result("demo", "first run", 3000, "s", target=2000)
    results.write(Report([later]), "demo")

    written = readme.read_text()
    assert [row[0] for row in results.written()] == ["queries", "increments", "demo"]
    assert results.written()[2] == later.row()
    assert "Not measured: statements, loading, monitoring, orchestration." in written
    # Only increments has a place for its details.
    assert written.count("| model | rows |\n|-------|-----:|\n| a     |    1 |") == 1
    assert "old" not in written
    assert written.startswith("before\n<!-- results: begin -->\n\n" + results.machine())
    assert "\nbetween\n" in written
    assert written.endswith("<!-- increments: end -->\nafter\n")


def test_rows_of_another_time_s_table_are_not_kept(readme: Path) -> None:
    results.write(Report([DEMO]), "demo")
    old = "\n| gone | it | 1 | s | | | | |\n| demo | it | 1 |\n"
    end = "\n<!-- results: end -->"
    readme.write_text(readme.read_text().replace(end, old + end))
    results.write(Report([QUERIES]), "queries")
    assert results.written() == [QUERIES.row(), DEMO.row()]


def test_rows_of_another_machine_are_not_kept(
    readme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.write(Report([DEMO]), "demo")
    monkeypatch.setattr("os.cpu_count", lambda: 1000)
    results.write(Report([QUERIES]), "queries")
    assert results.written() == [QUERIES.row()]
    assert "1000 cores" in readme.read_text()


@pytest.mark.parametrize("text", ["no place", "<!-- results: begin -->", None])
def test_a_readme_without_a_place_for_the_table_is_left_as_it_is(
    readme: Path, text: str | None
) -> None:
    readme.unlink()
    if text:
        readme.write_text(text)
    with pytest.raises(
        BenchmarkError, match=r"README\.md (cannot be read|does not have the lines)"
    ):
        results.write(Report([DEMO]), "demo")
    assert text is None or readme.read_text() == text


def test_the_project_s_readme_has_a_place_for_both_tables() -> None:
    text = results.README.read_text(encoding="utf-8")
    for name in ("results", "increments"):
        assert text.count(f"<!-- {name}: begin -->") == text.count(f"<!-- {name}: end -->") == 1


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Report | Exception]:
    """What each benchmark finds, or how it fails; a test changes it."""
    found: dict[str, Report | Exception] = {
        name: Report([Result(name, "it", 1, "s", 2, "that", 1)]) for name in results.BENCHMARKS
    }

    class Benchmark:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, **_: object) -> Report:
            report = found[self.name]
            if isinstance(report, Exception):
                raise report
            return report

    for name in results.BENCHMARKS:
        monkeypatch.setitem(sys.modules, f"benchmarks.{name}", Benchmark(name))

    def run_here(name: str) -> int:
        return int(app([name, "--write"], standalone_mode=False) or 0)

    # Each would be a process that finds the real ones.
    monkeypatch.setattr("benchmarks.__main__._run_apart", run_here)
    return found


def test_a_benchmark_that_fails_loses_no_result_of_the_others(
    readme: Path, measured: dict[str, Report | Exception]
) -> None:
    measured["queries"] = Report([QUERIES])
    measured["loading"] = BenchmarkError("The disk is full.")
    measured["demo"] = KeyError("unforeseen")
    measured["monitoring"] = MonitoringOffError("Elementary is not here.")
    run = CliRunner().invoke(app, ["all"])
    assert run.exit_code == 2, run.output
    assert "The disk is full." in run.stderr
    assert "demo failed (KeyError: 'unforeseen')." in run.stderr
    assert "These failed, and the reasons are above: loading, demo." in run.stderr
    assert "Skipped. Elementary is not here." in run.stdout
    assert run.stdout.splitlines()[-1] == "Missed targets: queries (22 queries)."
    there = ["statements", "queries", "increments", "orchestration"]
    assert [row[0] for row in results.written()] == there
    table = results.markdown(results.HEADINGS, results.written())
    assert table in run.stdout
    assert table in readme.read_text()


def test_a_missed_target_is_no_error_and_a_single_benchmark_writes_when_told(
    readme: Path, measured: dict[str, Report | Exception]
) -> None:
    before = readme.read_text()
    measured["queries"] = Report([QUERIES])
    run = CliRunner().invoke(app, ["queries"])
    assert run.exit_code == 0
    assert "Missed targets: queries (22 queries)." in run.stdout
    assert readme.read_text() == before
    assert CliRunner().invoke(app, ["queries", "--write"]).exit_code == 0
    assert results.written() == [QUERIES.row()]
    assert CliRunner().invoke(app, ["all"]).exit_code == 0
    assert len(results.written()) == len(results.BENCHMARKS)
