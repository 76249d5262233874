"""``firn backfill``: a range of a domain, loaded and built again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console

from include.airflow import local as local_airflow
from include.airflow.environment import airflow_environment
from include.core.errors import UserError
from include.monitoring.pipelines import Pipeline, find_pipelines
from include.orchestration.single_run import run_dag
from include.project.run_mode import END, START, RunMode
from include.warehouse.connection import get_settings
from include.warehouse.local_process import start_warehouse, stop_warehouse

app = typer.Typer()
console = Console(highlight=False, markup=False, soft_wrap=True)

Moment = Annotated[
    str, typer.Argument(metavar="MOMENT", help="A day, or YYYY-MM-DD HH:MM:SS, UTC.")
]


@app.command()
def backfill(
    domain: Annotated[str, typer.Argument(help="A domain, such as gaming.")],
    start: Moment,
    end: Moment,
) -> None:
    """Load and build a range of a domain again, from the first moment up to the second, left out.

    Its DAGs run one after the other, without a scheduler. What a source in a database has in the
    range is extracted again; of sources that are delivered as files, the raw rows are built again.
    """
    pipelines = _of(domain)
    range_of_run = {START: _moment(start), END: _moment(end)}
    RunMode.from_params(range_of_run)
    settings = get_settings()
    variables = airflow_environment(headless=True, settings=settings)
    if local_airflow.runs(variables):
        raise UserError(
            "Airflow runs here (make up) and may run the same DAGs: trigger them on its page with "
            "this range, or stop it with make down."
        )
    started = settings.is_local and start_warehouse(variables)
    try:
        local_airflow.prepare(variables)
        for pipeline in pipelines:
            _run(pipeline, range_of_run, variables)
    finally:
        if started:
            stop_warehouse(variables)


def _of(domain: str) -> list[Pipeline]:
    """The domain's pipelines, those that wait for others behind these."""
    known = find_pipelines()
    if found := [one for one in known if one.domain == domain]:
        return sorted(found, key=lambda one: one.schedule.startswith("after "))
    names = ", ".join(sorted({one.domain for one in known}))
    raise UserError(f"There is no domain {domain[:60]!r}: use one of {names}.")


def _moment(text: str) -> str:
    return text if " " in text else f"{text} 00:00:00"


def _run(pipeline: Pipeline, conf: Mapping[str, str], variables: Mapping[str, str]) -> None:
    console.print(f"{pipeline.dag_id}: {conf[START]} to {conf[END]}")
    outcome = run_dag(
        pipeline.dag_id, variables, conf=conf, on_task=lambda task: console.print(f"  {task}")
    )
    if not outcome.succeeded:
        failed = ", ".join(outcome.failed_tasks) or "it did not start"
        console.print(f"Failed: {failed}. Its log is {outcome.log}.")
        raise typer.Exit(1)
    console.print(f"  done in {outcome.seconds:.0f} s")
