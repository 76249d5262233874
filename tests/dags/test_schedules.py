"""The page of schedules, and dbt by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from include.monitoring.pipelines import schedules
from include.orchestration.dbt_command import DbtCommandOperator, command_params
from include.project.paths import REPOSITORY


def test_the_page_has_every_dag_as_airflow_reads_it(scheduled: dict[str, Any]) -> None:
    page = (REPOSITORY / "docs" / "schedules.md").read_text(encoding="utf-8")
    assert page == schedules(), "run: firn schedules > docs/schedules.md"
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    assert {row[1].strip("` ") for row in rows} == set(scheduled["dags"])
    for _, dag, starts, *_ in rows:
        read = scheduled["dags"][dag.strip("` ")]["schedule"]
        names = re.findall("`(.*?)`", starts) or ["None"]
        assert all(name in read for name in names), (dag, starts, read)


def resolved(name: str, value: Any) -> Any:
    """A parameter's value as a run gets it."""
    param = command_params()[name]
    return param.resolve(value)


@pytest.mark.parametrize("word", ["--target prod", "-s", "a b", "", "$(id)", "a;b", "+a --x"])
def test_a_selector_is_no_option_and_no_command(word: str) -> None:
    with pytest.raises(ParamValidationError):
        resolved("select", [word])


@pytest.mark.parametrize("word", ["tag:daily", "+mart_orders+", "path:models/mart", "2+a,b", "@a"])
def test_selectors_of_dbt_are_taken(word: str) -> None:
    assert resolved("select", [word]) == [word]


def test_nothing_selected_is_not_everything() -> None:
    params = {"command": "build", "select": [], "exclude": []}
    with pytest.raises(AirflowFailException, match="Name what to run in `select`"):
        DbtCommandOperator(task_id="dbt").execute({"params": params})
