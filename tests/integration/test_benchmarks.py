"""The benchmark works; how fast things are is no business of a test."""

from __future__ import annotations

import re

import pytest
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
