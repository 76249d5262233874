"""The benchmark works; how fast things are is no business of a test."""

from __future__ import annotations

import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.statements import STATEMENTS

pytestmark = pytest.mark.integration


def test_every_way_loads_every_row_and_is_in_the_table(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    clean_environment.setenv("COLUMNS", "200")
    arguments = ["loading", "--rows", "300", "--slow-rows", "200", "--repeat", "1"]
    run = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert run.exit_code == 0, run.output
    table = run.output.partition("of PUT + COPY")[2]
    found = re.findall(r"(?m)^ *(\S.*?) {2,}(\d+) +\d+\.\d\d +\d+\.\d\d +[\d,]+ +\d+\.\d{3}", table)
    assert found == [
        ("PUT + COPY", "300"),
        ("PUT uncompressed + COPY", "300"),
        ("loader, append", "300"),
        ("PUT + COPY + MERGE", "300"),
        ("loader, merge", "300"),
        ("pandas to_sql", "200"),
        ("MERGE of 10 literal rows", "20"),
    ]


def test_every_kind_of_statement_runs_in_all_three(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("COLUMNS", "200")
    run = CliRunner().invoke(app, ["statements", "--times", "3"], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    table = run.output.partition("added")[2]
    found = re.findall(r"(?m)^ *(\S.*?) {2,}\d+\.\d\d +\d+\.\d\d +\d+\.\d\d +-?\d+\.\d\d", table)
    assert found == list(STATEMENTS)


def test_incremental_models_are_counted_with_a_history_and_with_more(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    clean_environment.setattr("benchmarks.__main__.console", Console(width=200))
    arguments = ["increments", "--domain", "retail", "--rows", "300", "--days", "1", "--times", "2"]
    run = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert run.exit_code == 0, run.output
    table = run.output.partition("why above")[2]
    number = r" +([\d,]+)"
    found = re.findall(
        rf"(?m)^ *(\w+){number}{number} +\d+\.\d\d +\d+\.\d +\d+\.\d +\d+\.\d\d", table
    )
    assert [model for model, *_ in found] == [
        "int_retail__transactions",
        "mart_retail__data_quality",
    ]
    # With as many days again before them, no fewer rows are read; and some are read at all.
    assert all(
        0 < int(less.replace(",", "")) <= int(more.replace(",", "")) for _, less, more in found
    )


def test_a_domain_that_is_none_is_refused() -> None:
    run = CliRunner().invoke(app, ["increments", "--domain", "weather"])
    assert run.exit_code == 2
    assert "weather is not one of" in run.output
