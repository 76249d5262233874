"""The benchmarks work; how fast things are is no business of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import queries
from benchmarks.__main__ import _run_apart, app
from benchmarks.loading import COMPARED
from benchmarks.results import HEADINGS, README, BenchmarkError
from benchmarks.statements import STATEMENTS

pytestmark = pytest.mark.integration


def tables(*arguments: str) -> list[list[list[str]]]:
    """The tables that a benchmark prints: rows of cells, headings first."""
    run = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert run.exit_code == 0, run.output
    found: list[list[list[str]]] = [[]]
    for line in run.stdout.splitlines():
        if line.startswith("| "):
            found[-1].append([cell.strip() for cell in line[1:-1].split("|")])
        elif found[-1] and not line.startswith("|"):
            found.append([])
    return found[:-1]


@pytest.fixture(autouse=True)
def no_settings(clean_environment: pytest.MonkeyPatch) -> None:
    """Nothing of a developer's."""


def test_every_way_loads_every_row_and_is_in_the_table() -> None:
    detail, results = tables("loading", "--rows=300", "--slow-rows=200", "--repeat=1")
    assert [row[:2] for row in detail[1:]] == [
        ["PUT + COPY", "300"],
        ["PUT uncompressed + COPY", "300"],
        ["loader, append", "300"],
        ["PUT + COPY + MERGE", "300"],
        ["loader, merge", "300"],
        ["pandas to_sql", "200"],
        ["MERGE of 10 literal rows", "20"],
    ]
    assert results[0] == list(HEADINGS)
    assert [row[1] for row in results[1:]] == [way for way, _ in COMPARED]
    for row, (_, beside) in zip(results[1:], COMPARED, strict=True):
        assert row[4].endswith(f"({beside})")


def test_every_kind_of_statement_runs_in_all_three() -> None:
    detail, results = tables("statements", "--times=3")
    assert [row[0] for row in detail[1:]] == [row[1] for row in results[1:]] == list(STATEMENTS)
    assert all(float(cell) > 0 for row in detail[1:] for cell in row[1:4])


def test_queries_answer_alike_and_are_timed_in_all_three() -> None:
    detail, results = tables("queries", "--scale=0.01", "--repeat=1")
    assert [row[0] for row in detail[1:]] == list(queries.queries(1))
    times = [[float(cell) for cell in row[1:5]] for row in detail[1:]]
    assert all(cell > 0 for row in times for cell in row)
    directly, fakesnow, ours, new = map(sum, zip(*times, strict=True))
    assert [row[6] for row in results[1:]] == ["1.15", "1", ""]
    ratios = [ours / directly, ours / fakesnow, new / directly]
    assert [float(row[5]) for row in results[1:]] == pytest.approx(ratios, abs=0.02)


def test_answers_that_differ_are_an_error() -> None:
    rows = [(1, "a", Decimal("0.1")), (2, "b", 0.25)]
    queries._compare("q01", "it", [(1, "a", 0.1), (2, "b", Decimal("0.25"))], rows)
    with pytest.raises(BenchmarkError, match="q01 has 1 rows through it and 2 in DuckDB"):
        queries._compare("q01", "it", rows[:1], rows)
    for other in ((2, "b", 0.2500001), (2, "B", 0.25), (2, "b", None)):
        with pytest.raises(BenchmarkError, match="Row 2 of q01 is "):
            queries._compare("q01", "it", [rows[0], other], rows)


def test_incremental_models_are_counted_with_a_history_and_with_more() -> None:
    detail, results = tables("increments", "--domain=retail", "--rows=300", "--days=1", "--times=2")
    models = ["int_retail__transactions", "mart_retail__data_quality"]
    assert [row[0] for row in detail[1:]] == models
    # With as many days again before them, no fewer rows are read; and some are read at all.
    counts = [[int(cell.replace(",", "")) for cell in row[1:3]] for row in detail[1:]]
    assert all(0 < less <= more for less, more in counts)
    assert results[1][1] == "rows read by 2 models with 2 x history"
    assert results[1][2] == f"{sum(more for _, more in counts):,}"
    assert results[2][-1] == "met"


def test_a_domain_that_is_none_is_refused() -> None:
    run = CliRunner().invoke(app, ["increments", "--domain", "weather"])
    assert run.exit_code == 2
    assert "weather is not one of" in run.output


def test_monitoring_is_skipped_without_elementary(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRN_ELEMENTARY", "off")
    written = README.read_bytes()
    assert _run_apart("monitoring") == 0
    assert "Skipped. Monitoring is off" in capfd.readouterr().out
    assert README.read_bytes() == written
    # A process that fails is known by its code.
    monkeypatch.setenv("FIRN_ELEMENTARY", "perhaps")
    assert _run_apart("monitoring") == 2
    assert "FIRN_ELEMENTARY is 'perhaps'" in capfd.readouterr().err


SERVER = """
import os, sys, time
while time.process_time() < 0.5: pass
print(os.getpid(), file=open(sys.argv[1], "w"), flush=True)
time.sleep(60 * (sys.argv[2] == "stays"))
"""
STARTER = """
import pathlib, subprocess, sys, time
launch = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
for name in ("stays", "ends"):
    file = pathlib.Path(sys.argv[1], name)
    command = [sys.executable, "-c", sys.argv[2], str(file), name]
    subprocess.run([sys.executable, "-c", launch, *command], check=True)
    while not (file.exists() and file.read_text()):
        time.sleep(0.05)
sys.exit(3)
"""


def test_servers_that_outlive_a_command_are_counted_and_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER, str(tmp_path), SERVER]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.processes", str(tmp_path / "log"), *command],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["code"] == 3, (tmp_path / "log").read_text()
    # Both servers outlive their parents, and one of them the command as well.
    assert found["processor_seconds"] > 1.0
    assert found["seconds"] < 30
    assert not Path("/proc", (tmp_path / "stays").read_text().strip()).exists()
